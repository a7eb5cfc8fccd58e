"""The decoding loop: greedy and sampled texts, when they end, and who may stop them."""

from __future__ import annotations

from decoding_definition import Definition
from hypothesis import given
from hypothesis import strategies as st
from tables import SeveralTables, TableDecoder

from ftsdk import Language
from ftsdk.language.generate import generate, generate_each

seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.integers(1, 20), st.integers(0, 8), st.sampled_from([0.8, 1.0, 1.5, 4.0]))
def test_greedy_decoding_is_its_definition(
    seed: int, limit: int, minimum: int, penalty: float
) -> None:
    options = Language(max_new_tokens=limit, min_length=minimum, repetition_penalty=penalty)
    expected = Definition(TableDecoder(seed, 12, end_bias=1.5), options).decode()
    assert list(generate(TableDecoder(seed, 12, end_bias=1.5), options)) == expected


@given(seeds, st.integers(0, 99), st.floats(0.3, 2), st.floats(0.1, 1))
def test_sampling_repeats_with_its_seed(
    table: int, seed: int, temperature: float, top_p: float
) -> None:
    options = Language(temperature=temperature, top_p=top_p, seed=seed, max_new_tokens=15)
    first, second = (list(generate(TableDecoder(table, 12), options)) for _ in range(2))
    assert first == second


def test_sampling_without_a_seed_varies() -> None:
    options = Language(temperature=2.0, max_new_tokens=20)
    texts = {tuple(generate(TableDecoder(1, 50, -20.0), options)) for _ in range(5)}
    assert len(texts) == 5


@given(seeds)
def test_a_nucleus_of_one_token_is_greedy(seed: int) -> None:
    sampled = Language(temperature=1.0, top_p=1e-9, seed=0)
    assert list(generate(TableDecoder(seed, 30), sampled)) == list(
        generate(TableDecoder(seed, 30), Language())
    )


@given(seeds, st.integers(1, 10))
def test_a_caller_who_stops_reading_stops_the_decoder(seed: int, count: int) -> None:
    decoder = TableDecoder(seed, 20, end_bias=-30.0)
    tokens = generate(decoder, Language(max_new_tokens=40))
    for _ in range(count):
        next(tokens)
    tokens.close()
    assert decoder.steps == count


choices = st.one_of(
    st.builds(
        Language,
        beams=st.integers(1, 4),
        max_new_tokens=st.integers(1, 12),
        min_length=st.integers(0, 6),
        repetition_penalty=st.sampled_from([0.8, 1.0, 2.0]),
        length_penalty=st.sampled_from([0.0, 1.0, 2.0]),
    ),
    st.builds(
        Language,
        temperature=st.floats(0.3, 2),
        seed=st.integers(0, 99),
        max_new_tokens=st.integers(1, 12),
    ),
)


@given(
    st.lists(st.tuples(seeds, st.sampled_from([-20.0, 0.0, 2.0])), min_size=1, max_size=5), choices
)
def test_reports_side_by_side_are_those_alone(
    faces: list[tuple[int, float]], options: Language
) -> None:
    alone = [list(generate(TableDecoder(seed, 16, bias), options)) for seed, bias in faces]
    decoder = SeveralTables([TableDecoder(seed, 16, bias) for seed, bias in faces])
    together: list[list[int]] = [[] for _ in faces]
    ended = [False] * len(faces)
    for step, tokens in enumerate(generate_each(decoder, options), start=1):
        assert decoder.steps == step
        for token in tokens:
            assert not ended[token.face]
            together[token.face].append(token.id)
            ended[token.face] = token.last
    assert together == alone
    assert all(ended)
    if options.beams == 1:
        assert decoder.steps == max(map(len, alone))


def test_a_face_whose_report_ends_first_is_told_so_at_once() -> None:
    short, long = TableDecoder(3, 16, end_bias=30.0), TableDecoder(4, 16, end_bias=-30.0)
    steps = list(
        generate_each(SeveralTables([short, long]), Language(min_length=0, max_new_tokens=9))
    )
    assert [(token.face, token.last) for token in steps[0]] == [(0, True), (1, False)]
    assert [[token.face for token in tokens] for tokens in steps[1:]] == [[1]] * 8
