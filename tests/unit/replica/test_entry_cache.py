"""What of the log stays in memory."""

from lastunit_node.replica.entry_cache import CACHE_BYTES, EntryCache

MEGABYTE = bytes(1 << 20)
MOST = CACHE_BYTES // len(MEGABYTE)


def test_its_bytes_are_bounded_from_the_first_moment_on() -> None:
    cache = EntryCache((MEGABYTE, index, 1) for index in range(5 * MOST))
    assert MOST // 2 <= 5 * MOST - cache.first_index <= MOST
    assert cache.last[1] == 5 * MOST - 1


def test_what_is_not_durable_stays_however_much_it_is() -> None:
    cache = EntryCache([(b"", 0, 0)])
    for index in range(1, 3 * MOST):
        cache.append((MEGABYTE, index, 1))
        cache.shrink(durable=5)
    assert cache.first_index == 5
    assert len(cache.slice(5, 3 * MOST)) == 3 * MOST - 5
    cache.cut_from(MOST)
    cache.append((MEGABYTE, MOST, 2))
    cache.shrink(durable=MOST)
    assert cache.first_index == 5, "what was cut is not counted any more"
