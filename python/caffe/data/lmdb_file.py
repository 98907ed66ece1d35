"""Reading LMDB files page by page, as liblmdb does from its memory map, but trusting nothing that they say.

liblmdb follows the offsets in a file's pages wherever they lead; a damaged file ends the process. Here every page is read when
it is needed, and looked at before it is used: a file that was cut off, also while it is read, costs an error.

The format ("data version 1", little-endian, 64 bits): pages of equal size, of which the first two say where the trees begin; of
these the one with the higher transaction counts. A page is a header (number, padding, flags, two offsets), the offsets of its
nodes, and the nodes: low and high half of the size, flags, length of the key, the key, and the value or the number of the pages
where it lies. In pages above the leaves a node's first three fields are the number of the page below.
"""

from __future__ import annotations

import os
import struct
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

from caffe.errors import FileError
from caffe.files import system
from caffe.inputs.limits import MAX_DATUM
from caffe.inputs.reading import open_regular

_HEADER, _NODE = struct.Struct("<QHHHH"), struct.Struct("<HHHH")
# Of a meta page, after its header: magic, version, address, size of the map; two trees, that of free pages and that of the
# entries; the last page's number, the transaction's.
_META = struct.Struct("<IIQQ" + 2 * "IHHQQQQQ" + "QQ")
_MAGIC, _VERSION, _NO_PAGE = 0xBEEFC0DE, 1, 2**64 - 1
_BRANCH, _LEAF, _KIND = 0x01, 0x02, 0x6F  # of the flags of pages; what else there is says nothing to a reader
_OVERFLOW = 0x01  # of the flags of nodes: the value lies in pages of its own
_MOST_LEVELS = 32  # liblmdb's own


class LmdbError(ValueError):
    """What is wrong with a file; the message says at which page."""


@dataclass(frozen=True)
class _Tree:
    """Where the tree of the entries begins, and how large it is."""

    page_size: int
    root: int
    levels: int
    entries: int
    last_page: int
    transaction: int


@dataclass
class _Page:
    """The nodes of a page: their keys, and where in `content` what follows a key begins."""

    number: int
    content: bytes
    keys: list[bytes]
    nodes: list[int]


@dataclass
class _Place:
    """A page on the way from the root to an entry, and the node that the way goes through."""

    page: _Page
    index: int


class LmdbDatabase:
    """An LMDB, open for reading: a folder with data.mdb, or that file. Raises CaffeError if it is none or damaged."""

    errors = (LmdbError, OSError)

    def __init__(self, path: str) -> None:
        self.path = path
        name = os.path.join(path, "data.mdb") if os.path.isdir(path) else path
        if not os.path.exists(name):
            raise FileError(f"cannot open database '{path}': it is neither an LMDB nor a LevelDB.")
        try:
            self._file = open_regular(name)
            self.size = os.fstat(self._file.fileno()).st_size
            self._tree = self._newest_tree()
        except (LmdbError, OSError) as error:
            raise FileError(f"cannot open database '{path}': {getattr(error, 'strerror', None) or error}.") from error

    def __len__(self) -> int:
        return self._tree.entries

    def begin(self) -> LmdbReader:
        """A reader of what the database held when it was opened."""
        return LmdbReader(self, self._tree.root, self._tree.levels)

    def read(self, position: int, length: int) -> bytes:
        """Bytes of the file. Raises LmdbError where it ends before them."""
        content = system.read_at(self._file.fileno(), length, position) if position + length <= self.size else b""
        if len(content) != length:
            raise LmdbError(f"it is cut off, or damaged: {length} bytes at {position} are not there")
        return content

    def page_position(self, number: int) -> int:
        """Where a page lies in the file. Raises LmdbError for one behind the last."""
        if not 2 <= number <= self._tree.last_page:
            raise LmdbError(f"it names page {number}, which is none of 2 to {self._tree.last_page}")
        return number * self._tree.page_size

    def page(self, number: int, kind: int) -> _Page:
        """A branch or leaf page, looked at. Raises LmdbError if it is not one."""
        size = self._tree.page_size
        content = self.read(self.page_position(number), size)
        own, _, flags, lower, _ = _HEADER.unpack_from(content)
        count, odd = divmod(lower - _HEADER.size, 2)
        if own != number or flags & _KIND != kind or odd or not 0 < count <= (size - _HEADER.size) // 2:
            raise LmdbError(f"page {number} is damaged, or not of the kind that is needed")
        keys, nodes = [], []
        for start in struct.unpack_from(f"<{count}H", content, _HEADER.size):
            if start + _NODE.size > size:
                raise LmdbError(f"page {number} is damaged: an entry begins behind its end")
            end = start + _NODE.size + _NODE.unpack_from(content, start)[3]
            if end > size:
                raise LmdbError(f"page {number} is damaged: a key leads behind its end")
            keys.append(content[start + _NODE.size : end])
            nodes.append(start)
        if kind == _BRANCH:
            keys[0] = b""  # whatever stands there: all that is below the second key
        if any(before >= behind for before, behind in pairwise(keys)):
            raise LmdbError(f"page {number} is damaged: its keys are not in order")
        return _Page(number, content, keys, nodes)

    def below(self, page: _Page, index: int) -> int:
        """The number of the page to which a node of a branch page leads."""
        low, middle, high, _ = _NODE.unpack_from(page.content, page.nodes[index])
        return int(low | middle << 16 | high << 32)

    def value(self, page: _Page, index: int) -> bytes:
        """The value of an entry of a leaf. Raises LmdbError if it leads out of the page or of the file."""
        start = page.nodes[index]
        low, high, flags, key = _NODE.unpack_from(page.content, start)
        size, begin = low | high << 16, start + _NODE.size + key
        if size > MAX_DATUM:
            raise LmdbError(f"page {page.number} promises an entry of {size} bytes; at most {MAX_DATUM} are read")
        if flags & ~_OVERFLOW:
            raise LmdbError(f"page {page.number} is damaged, or has several values for one key")
        held = 8 if flags else size
        if begin + held > len(page.content):
            raise LmdbError(f"page {page.number} is damaged: an entry leads behind its end")
        if not flags:
            return page.content[begin : begin + size]
        number = int.from_bytes(page.content[begin : begin + 8], "little")
        return self.read(self.page_position(number) + _HEADER.size, size)

    def _newest_tree(self) -> _Tree:
        first = self._meta(0)
        return max(first, self._meta(first.page_size), key=lambda tree: tree.transaction)

    def _meta(self, position: int) -> _Tree:
        magic, version, *rest = _META.unpack(self.read(position + _HEADER.size, _META.size))
        if magic != _MAGIC:
            raise LmdbError("it is not an LMDB, or one of a machine with another order of bytes")
        if version != _VERSION:
            raise LmdbError(f"it has version {version} of the format; version {_VERSION} is read")
        page_size, flags, levels, entries, root = rest[2], rest[11], rest[12], rest[16], rest[17]
        last_page, transaction = rest[18:]
        if page_size not in (1 << bits for bits in range(9, 17)):
            raise LmdbError(f"it is damaged: pages of {page_size} bytes")
        if flags:
            raise LmdbError("its keys have several values each or an order of their own; Caffe's databases have not")
        # A node takes more than ten bytes.
        if levels > _MOST_LEVELS or entries > self.size // 10 or (root == _NO_PAGE) != (entries == 0):
            raise LmdbError(
                f"it is damaged: {entries} entries in {levels} levels from page {root} in {self.size} bytes"
            )
        tree = _Tree(page_size, root, levels, entries, last_page, transaction)
        self._check_end(tree)
        return tree

    def _check_end(self, tree: _Tree) -> None:
        """Refuse a file that was cut off. LMDB itself may leave a few unused pages at the end unwritten."""
        needed = (tree.last_page + 1) * tree.page_size
        if self.size < needed - max(8 * tree.page_size, needed // 64):
            raise LmdbError(f"it is cut off, {self.size} of {needed} bytes")

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()


class LmdbReader:
    """Reads entries in the order of their keys."""

    def __init__(self, database: LmdbDatabase, root: int, levels: int) -> None:
        self._database, self._root, self._levels = database, root, levels
        self._way: list[_Place] = []  # from the root to the entry that it stands on

    def first(self) -> bool:
        """Go to the first entry; False if there is none. Raises LmdbError, as all that follow, where the file is damaged."""
        return self._levels > 0 and self._find(b"")

    def next(self) -> bool:
        """Go to the entry behind; False, and no move, if there is none."""
        before = self.key()
        level = self._levels - 1
        while level >= 0 and self._way[level].index + 1 == len(self._way[level].page.keys):
            level -= 1
        if level < 0:
            return False
        way = [*self._way[:level], _Place(self._way[level].page, self._way[level].index + 1)]
        self._way = self._descended(way, b"")
        # Pages that lead in a circle have no other end.
        if self.key() <= before:
            raise LmdbError(f"page {self._way[-1].page.number} is damaged: its keys are not in order")
        return True

    def set_key(self, key: bytes) -> bool:
        """Go to the entry of this key; False if there is none."""
        return self._levels > 0 and self._find(key) and self.key() == key

    def key(self) -> bytes:
        place = self._way[-1]
        return place.page.keys[place.index]

    def value(self) -> bytes:
        place = self._way[-1]
        return self._database.value(place.page, place.index)

    def _find(self, key: bytes) -> bool:
        """Go to the last entry that is not behind `key`, or to the first one."""
        self._way = self._descended([], key)
        return True

    def _descended(self, way: list[_Place], key: bytes) -> list[_Place]:
        """The way from where this one ends down to a leaf; a tree has all its leaves on one level."""
        while len(way) < self._levels:
            number = self._database.below(way[-1].page, way[-1].index) if way else self._root
            page = self._database.page(number, _LEAF if len(way) == self._levels - 1 else _BRANCH)
            way.append(_Place(page, max(0, bisect_right(page.keys, key) - 1)))
        return way

    def close(self) -> None:
        """Nothing is to be let go of: the database closes its file."""
