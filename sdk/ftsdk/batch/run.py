"""The rows of files, one after the other, into a book."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from queue import SimpleQueue

from ftsdk.analyzer import Analyzer
from ftsdk.batch import rows
from ftsdk.batch.lines import Book
from ftsdk.batch.rows import Row
from ftsdk.batch.sources import Entry, Listing
from ftsdk.streaming.answers import FrameAnswer, FrameFailed, is_last
from ftsdk.streaming.options import WatchOptions
from ftsdk.streaming.sources import Shot, Source
from ftsdk.streaming.watching import watch_with


def write_all(
    answered: Generator[Row, None, None], book: Book, told: Callable[[Row], None]
) -> None:
    """Write rows into a book, each as soon as it is known.

    Args:
        answered: the rows; closed in the end.
        book: where they go.
        told: called with each row that was written.

    Raises:
        OutputError: a row could not be written.
        BrokenPipeError: nobody reads the rows any more.
    """
    with closing(answered):
        for row in answered:
            book.write(row)
            told(row)


def rows_of(
    analyzer: Analyzer, listing: Listing, entries: Iterable[Entry], *, report: bool
) -> Generator[Row, None, None]:
    """Yield a row for each file, as `analyzer` answers.

    Args:
        analyzer: what answers.
        listing: where the files are.
        entries: those of its files that are to have a row.
        report: write reports, or stop at the masks.
    """
    unseen: SimpleQueue[Row] = SimpleQueue()
    source = _Pictures(listing, entries, unseen)
    options = WatchOptions(report="always" if report else "never")
    with closing(watch_with(analyzer, source, options)) as answers:
        for answer in answers:
            while not unseen.empty():
                yield unseen.get()
            if is_last(answer, report):
                yield row_of(answer)
    while not unseen.empty():
        yield unseen.get()


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

    def __init__(
        self, listing: Listing, entries: Iterable[Entry], unseen: SimpleQueue[Row]
    ) -> None:
        self.name = listing.root.folder
        self._listing, self._entries, self._unseen = listing, entries, unseen

    def frames(self) -> Iterator[Shot]:
        for entry in self._entries:
            why = self._listing.why_left_out(entry)
            if entry.failure:
                self._unseen.put(rows.failed(entry.name, entry.failure))
            elif why:
                self._unseen.put(rows.left_out(entry.name, why))
            else:
                yield Shot(self._listing.file(entry), entry.name)
