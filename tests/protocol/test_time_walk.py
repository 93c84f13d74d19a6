"""Whatever the pages and cuts: every row once, in order, and an end."""

from dataclasses import dataclass, field

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from intdash_frames.errors import UsageError
from intdash_frames.protocol.time_walk import OutOfOrder, Question, TimeWalk

END = 100


@dataclass
class Server:
    """Rows of (time, name) in ascending time, answered page by page; `draw` decides about cuts and batches."""

    rows: list
    rounding: int = 1  # start is rounded down to a multiple of this
    answers: list = field(default_factory=list)

    def answer(self, question, delivered=None, shortened=0):
        start = question.start_ns // self.rounding * self.rounding
        found = [row for row in self.rows if start <= row[0] < question.end_ns]
        page = found[: question.limit]
        if delivered is not None:  # a page that conversion has made shorter, though it still has a new row if there is one
            skipped = sum(row[0] < start for row in self.rows)
            page = page[: max(delivered - skipped + 1, len(page) - shortened)]
        self.answers.append(page)
        return page


def admit(walk, batch):
    """What a walk lets through of a batch."""
    admitted = walk.admit([time for time, _ in batch], lambda row: batch[row])
    return [batch[row] for row in admitted.positions] + batch[admitted.rest :]


def take(walk, page, sizes=()):
    """What a walk lets through of a page that arrives in batches of these sizes, the rest in one."""
    taken, at = [], 0
    for size in (*sizes, len(page)):
        taken += admit(walk, page[at : at + size])
        at += size
    return taken


rows_with_ties = st.one_of(
    *[st.lists(st.tuples(st.integers(0, latest), st.sampled_from("ab")), max_size=25) for latest in (0, 4, 40)]
).map(lambda rows: sorted(rows, key=lambda row: row[0]))


@settings(deadline=None, max_examples=500)
@given(
    rows=rows_with_ties,
    limit=st.none() | st.integers(1, 30),
    rounding=st.sampled_from([1, 1, 3, 1000]),
    labels=st.booleans(),
    data=st.data(),
)
def test_walk_gives_every_row_once_in_order_and_ends(rows, limit, rounding, labels, data):
    server, walk, taken, cuts = Server(rows, rounding), TimeWalk(0, END, limit=limit, short_page_ends=not labels), [], 5
    while walk.question is not None:
        question = walk.question
        shortened = data.draw(st.integers(0, 3)) if labels and limit is not None else 0
        page = server.answer(question, len(taken) if labels else None, shortened)
        whole = not cuts or data.draw(st.booleans())
        if not whole:
            cuts -= 1
            page = page[: data.draw(st.integers(0, len(page)))]
            server.answers[-1] = page
        taken += take(walk, page, data.draw(st.lists(st.integers(0, 5), max_size=3)))
        walk.end_answer(whole=whole)
        assert taken == rows[: len(taken)]
        assert len(server.answers) < 200
        if walk.question is not None:
            assert question.start_ns <= walk.question.start_ns < walk.question.end_ns == END
    assert taken == rows
    assert walk.repeated == sum(map(len, server.answers)) - len(rows)


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 7, 8, 9, None])
@pytest.mark.parametrize("names", ["aaaaaaa", "abcdefg", "aabbaab"])
def test_instant_with_more_rows_than_a_page_is_read_in_full(limit, names):
    rows = [(1, "x"), *((5, name) for name in names), (6, "y"), (6, "y")]
    server, walk, taken = Server(rows), TimeWalk(0, END, limit=limit), []
    while walk.question is not None:
        taken += take(walk, server.answer(walk.question))
        walk.end_answer(whole=True)
    assert taken == rows


def test_page_of_known_rows_is_asked_for_twice_as_long_and_then_as_before():
    walk = TimeWalk(0, END, limit=2)
    limits = []
    server = Server([(5, "a")] * 5 + [(6, "b")] * 3)
    while walk.question is not None:
        limits.append(walk.question.limit)
        take(walk, server.answer(walk.question))
        walk.end_answer(whole=True)
    # 2 of 5 at once; the same 2; 4, so 2 new; the same ... and whatever brings something new resets the length.
    # A longer page that comes back short with nothing new may have been capped by the server: all of the rest is asked for.
    assert limits == [2, 2, 4, 2, 4, 8, 2, 4, None]


@pytest.mark.parametrize("cap", [2, 3])
def test_server_that_caps_longer_pages_loses_nothing(cap):
    rows = [(5, name) for name in "abcdefgh"] + [(6, "i")]
    walk, taken = TimeWalk(0, END, limit=2), []
    while walk.question is not None:
        question = walk.question
        limit = question.limit and min(question.limit, cap)
        taken += take(walk, Server(rows).answer(Question(question.start_ns, question.end_ns, limit)))
        walk.end_answer(whole=True)
    assert taken == rows


def test_short_converted_page_with_nothing_new_is_not_the_end():
    walk, taken = TimeWalk(0, END, limit=2, short_page_ends=False), []
    for rows in ([(5, "a"), (5, "b")], [(5, "a")]):
        assert walk.question is not None
        taken += take(walk, rows)
        walk.end_answer(whole=True)
    assert walk.question == Question(5, END, None)
    taken += take(walk, [(5, "a"), (5, "b"), (7, "c")])
    walk.end_answer(whole=True)
    assert walk.question is None
    assert taken == [(5, "a"), (5, "b"), (7, "c")]


def test_limit_below_one_is_refused():
    with pytest.raises(UsageError, match="limit=0"):
        TimeWalk(0, END, limit=0)


def test_duplicates_are_kept_as_often_as_the_server_has_them():
    walk = TimeWalk(0, END, limit=3)
    assert take(walk, [(1, "a"), (5, "b"), (5, "b")]) == [(1, "a"), (5, "b"), (5, "b")]
    walk.end_answer(whole=True)
    assert walk.question.start_ns == 5
    assert take(walk, [(5, "b"), (5, "b"), (5, "b")]) == [(5, "b")]
    walk.end_answer(whole=True)
    assert take(walk, [(5, "b"), (5, "b"), (5, "b")]) == []
    assert walk.repeated == 5


def test_known_rows_may_come_in_another_order():
    walk = TimeWalk(0, END, limit=3)
    take(walk, [(5, "a"), (5, "b"), (5, "c")])
    walk.end_answer(whole=True)
    assert take(walk, [(5, "c"), (5, "new"), (5, "a")]) == [(5, "new")]


def test_short_page_ends_the_walk_unless_the_server_converts():
    for converts, ended in ((False, True), (True, False)):
        walk = TimeWalk(0, END, limit=3, short_page_ends=not converts)
        take(walk, [(1, "a")])
        walk.end_answer(whole=True)
        assert (walk.question is None) == ended


def test_answer_cut_before_its_first_row_is_asked_for_again():
    walk = TimeWalk(7, END, limit=None)
    asked = walk.question
    walk.end_answer(whole=False)
    assert walk.question == asked


@pytest.mark.parametrize(("start", "end"), [(5, 5), (6, 5)])
def test_empty_range_asks_nothing(start, end):
    assert TimeWalk(start, end).question is None


def test_identity_is_asked_for_only_at_the_borders_of_pages():
    walk = TimeWalk(0, END, limit=None)
    asked = []
    walk.admit([1, 2, 3, 9, 9], lambda row: asked.append(row) or row)
    assert asked == [3, 4]


@settings(deadline=None, max_examples=100)
@given(rows=rows_with_ties, seed=st.randoms(), limit=st.integers(2, 10))
@example(rows=[(1, "a"), (2, "b")], seed=None, limit=2)
def test_limited_answer_out_of_order_is_noticed_and_asked_for_without_limit(rows, seed, limit):
    early = [row for row in rows if row[0] < rows[-1][0]][: limit - 1]
    assume(early)
    walk = TimeWalk(0, END, limit=limit)
    admit(walk, rows[-1:])
    with pytest.raises(OutOfOrder, match="go back in time"):
        admit(walk, early)
    walk.ask_without_limit()
    assert (walk.question.start_ns, walk.question.limit) == (0, None)
    order = list(rows)
    if seed is not None:
        seed.shuffle(order)
    # Without a limit, batches may come in any order, each sorted in itself.
    taken = [row for at in range(0, len(order), 3) for row in admit(walk, sorted(order[at : at + 3]))]
    walk.end_answer(whole=True)
    assert walk.question is None
    assert sorted(taken) == sorted(rows)


def test_page_out_of_order_later_in_the_walk_gives_back_nothing_twice():
    walk = TimeWalk(0, END, limit=2)
    taken = take(walk, [(1, "a"), (5, "b")])
    walk.end_answer(whole=True)
    admit(walk, [(9, "x")])  # dropped with its page
    with pytest.raises(OutOfOrder):
        admit(walk, [(7, "y")])
    walk.ask_without_limit()
    taken += take(walk, [(5, "b"), (5, "c"), (7, "y"), (9, "x")])
    walk.end_answer(whole=True)
    assert taken == [(1, "a"), (5, "b"), (5, "c"), (7, "y"), (9, "x")]
    assert walk.question is None
