"""Records of a graph's nodes in a mapped file: what is in one, how it is written, and when it is believed.

A record is uint32 words: the two of its checksum, the bits of the inverse norm, the number of links, room for `width`
links, the float32 vector; in files of version 1 also zeros up to a whole cache line. One read of the disk brings links
and vector.

The checksum is a multilinear hash (Carter and Wegman, 1979) of the words behind it and of the node's number: a change
of one word is always seen, as keys are odd, and any other with a probability of 1 - 2^-32 or more. It is compared
whenever a record is read, since a page that memory had no room for comes from the disk again.
"""

from __future__ import annotations

import numpy as np

from lance_fmt.kernels.decorator import distance_kernel, kernel
from vego.index.kernels.addresses import advise, floats_at, words_at
from vego.index.kernels.distance import COSINE, operation_of, rank_value
from vego.index.kernels.links import NONE
from vego.index.kernels.scoring import row_sum

HEADER_WORDS = 4
NORM, COUNT = 2, 3  # words of the inverse norm and of the number of links


@kernel
def record_sum(record, keys, node):
    """The checksum of a record (words,), which is that of node number `node`; keys uint64 (words,)."""
    total = keys[0] * (np.uint64(node) + np.uint64(1))
    for j in range(NORM, record.shape[0]):
        total += keys[np.uint32(j)] * np.uint64(record[np.uint32(j)])
    return total


@kernel
def intact(record, keys, node):
    """Whether a record is what was written for that node."""
    total = record_sum(record, keys, node)
    return record[0] == np.uint32(total & np.uint64(0xFFFFFFFF)) and record[1] == np.uint32(
        total >> np.uint64(32)
    )


@kernel
def fill_records(links, width, vectors, inverse_norms, keys, first, records):
    """Write the records of the nodes first, first + 1, .. to `records` (n, words) uint32.

    links (n, >= width) uint32, each row ended by NONE, vectors (n, d) float32; inverse_norms (n,) float32.
    """
    bits = vectors.view(np.uint32)
    norms = inverse_norms.view(np.uint32)
    for i in range(records.shape[0]):
        record = records[np.uint32(i)]
        record[:] = np.uint32(0)
        count = 0
        while count < width and links[i, count] != NONE:
            record[HEADER_WORDS + count] = links[i, count]
            count += 1
        for j in range(bits.shape[1]):
            record[np.uint32(HEADER_WORDS + width + j)] = bits[np.uint32(i), np.uint32(j)]
        record[NORM] = norms[i]
        record[COUNT] = np.uint32(count)
        total = record_sum(record, keys, first + i)
        record[0] = np.uint32(total & np.uint64(0xFFFFFFFF))
        record[1] = np.uint32(total >> np.uint64(32))


@kernel
def lay_records(records, starts, words):
    """Copy `records` (n, w) to where they begin in `words` uint32 (m,); starts int64 (n,)."""
    for i in range(records.shape[0]):
        start = starts[i]
        for j in range(records.shape[1]):
            words[start + j] = records[np.uint32(i), np.uint32(j)]


@kernel
def take_records(words, starts, nodes, keys, records):
    """Copy the records of `nodes` int64 (n,), which begin at `starts`, to `records` (n, w); what is copied is checked.

    Returns -1, or the first of the nodes whose record is not intact.
    """
    for i in range(records.shape[0]):
        record = records[np.uint32(i)]
        start = starts[i]
        for j in range(record.shape[0]):
            record[np.uint32(j)] = words[start + j]
        if not intact(record, keys, nodes[i]):
            return nodes[i]
    return np.int64(-1)


@kernel
def record_address(place, node):
    """Where the record of a node begins; `place` is a `Place` of vego/index/disk/records.py."""
    number = np.uint64(node)
    group = number // np.uint64(place.nodes)
    rest = number - group * np.uint64(place.nodes)
    return place.address + np.int64(group) * place.group + np.int64(rest) * place.step


@kernel
def record_at(place, words, node):
    """The record of a node."""
    return words_at(record_address(place, node), words)


@kernel
def ask_for(place, words, node, count):
    """Have the pages of `count` records from that of `node` on read from the disk."""
    start = record_address(place, node)
    advise(start, record_address(place, node + count - 1) + np.int64(4 * words) - start)


@distance_kernel
def record_distance(metric, place, width, node, query, query_inverse):
    """Rank value of the vector in a node's record, as in the exact scan; what is not a number is infinity."""
    address = record_address(place, node)
    inverse = floats_at(address + np.int64(4 * NORM), 1)[0] if metric == COSINE else np.float32(1)
    total = row_sum(operation_of(metric), None, address + np.int64(4 * (HEADER_WORDS + width)), query)
    value = rank_value(metric, total, inverse, query_inverse)
    return np.float32(np.inf) if np.isnan(value) else value
