"""Looking up many hashes in a row index at once (FORMAT.md, "Row indexes")."""

import numpy as np

from lance_fmt.kernels.decorator import kernel


@kernel
def find_entries(hashes, words, halves, places, partition_bits, bucket_bits, first, counts):
    """Find the entries of each of uint64 `hashes`: `counts[i]` of them, from number `first[i]` of all rows on.

    `words` (uint32) and `halves` (uint16) view the region; `places` is uint64 `(partitions, 3)`: where a
    partition's rows, directory and fingerprints begin, each in items. Both outputs are int64. The partitions
    asked for have been loaded and checked.
    """
    one = np.uint64(1)
    to_bucket = np.uint64(63 - bucket_bits)
    to_mark = np.uint64(48 - partition_bits - bucket_bits)
    for i in range(hashes.size):
        value = hashes[np.uint64(i)]
        # Shifts by 64 are undefined: hence two steps.
        place = places[(value >> one) >> np.uint64(63 - partition_bits)]
        directory = place[1] + (((value << np.uint64(partition_bits)) >> one) >> to_bucket)
        mark = np.uint16((value >> to_mark) & np.uint64(0xFFFF))
        low = place[2] + np.uint64(words[directory])
        end = place[2] + np.uint64(words[directory + one])
        high = end
        while low < high:
            middle = (low + high) >> one
            if halves[middle] < mark:
                low = middle + one
            else:
                high = middle
        stop = low
        while stop < end and halves[stop] == mark:
            stop += one
        first[np.uint64(i)] = np.int64(place[0] + low - place[2])
        counts[np.uint64(i)] = np.int64(stop - low)
