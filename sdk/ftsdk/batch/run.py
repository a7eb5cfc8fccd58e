"""A listing through an analyzer into a book."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from queue import SimpleQueue

from ftsdk.analyzer import Analyzer
from ftsdk.batch import rows
from ftsdk.batch.books import Book
from ftsdk.batch.rows import Row
from ftsdk.batch.sources import Listing
from ftsdk.streaming.answers import FrameAnswer, FrameFailed, FrameMasked
from ftsdk.streaming.options import WatchOptions
from ftsdk.streaming.sources import Shot, Source
from ftsdk.streaming.watching import watch_with


def run_batch(
    analyzer: Analyzer,
    listing: Listing,
    book: Book,
    *,
    report: bool,
    told: Callable[[Row], None],
) -> None:
    """Write a row for each file of `listing` that `book` has none of.

    Args:
        analyzer: what answers.
        listing: the files.
        book: where the rows go, each as soon as it is known.
        report: write reports, or stop at the masks.
        told: called with each row that was written.

    Raises:
        OutputError: a row could not be written.
        BrokenPipeError: nobody reads the rows any more.
    """
    unseen: SimpleQueue[Row] = SimpleQueue()

    def write(row: Row) -> None:
        book.write(row)
        told(row)

    source = _Pictures(listing, book, unseen)
    for answer in watch_with(
        analyzer, source, WatchOptions(report="always" if report else "never")
    ):
        while not unseen.empty():
            write(unseen.get())
        if not (report and isinstance(answer, FrameMasked)):
            write(row_of(answer))
    while not unseen.empty():
        write(unseen.get())


def row_of(answer: FrameAnswer) -> Row:
    """Return the row of an answer, be it a result or a failure."""
    if isinstance(answer, FrameFailed):
        return rows.failed(answer.frame.name, answer.error)
    return rows.answered(answer.frame.name, answer.result)


class _Pictures(Source):
    """The pictures of a listing; what is none, or cannot be reached, goes into `unseen`.

    It runs in the watch's reading lane, so that a file is looked at when its turn comes.
    """

    unrelated = True

    def __init__(self, listing: Listing, book: Book, unseen: SimpleQueue[Row]) -> None:
        self.name = str(listing.root)
        self._listing, self._book, self._unseen = listing, book, unseen

    def frames(self) -> Iterator[Shot]:
        for entry in self._listing.entries:
            if entry.name in self._book.done:
                continue
            why = self._listing.why_left_out(entry)
            if entry.failure:
                self._unseen.put(rows.failed(entry.name, entry.failure))
            elif why:
                self._unseen.put(rows.left_out(entry.name, why))
            else:
                yield Shot(self._listing.path(entry), entry.name)
