"""Loading relocatable ELF64 objects into executable memory, without LLVM and without a linker.

Every offset, size and index that the file names is checked before it is used, so damaged bytes give an `ObjectError`. Memory is
written while it is not executable and executed when it is not writable. Relocations: System V ABI, AMD64 supplement and AArch64 ELF ABI.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import platform
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from trine.errors import AllocationError, CompileError, message

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELA = struct.Struct("<QQq")

_SHT_SYMTAB, _SHT_STRTAB, _SHT_RELA, _SHT_NOBITS = 2, 3, 4, 8
_SHF_ALLOC = 2
_SHN_UNDEF, _SHN_LORESERVE, _SHN_ABS = 0, 0xFF00, 0xFFF1
_MACHINES = {62: "x86_64", 183: "aarch64"}

_ALIGNMENT = 64
_MAX_BYTES = 1 << 28  # far above any kernel; bounds what a damaged header can ask for
_MASK64 = (1 << 64) - 1


class ObjectError(CompileError):
    """The bytes are not an object that can be loaded: damaged, truncated, or using what the loader does not know."""


class Section(NamedTuple):
    """A section header."""

    name: int
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry_size: int


@dataclass(slots=True)
class Layout:
    """An object laid out for an address, relocated, not yet executable.

    Attributes:
        machine: "x86_64" or "aarch64".
        image: the bytes of the mapping.
        symbols: offsets in the image of the global symbols.
        places: offset in the image of each allocated section, by section number.
    """

    machine: str
    image: bytearray
    symbols: dict[str, int]
    places: dict[int, int] = field(default_factory=dict)


def _damaged(what: str) -> ObjectError:
    return ObjectError(message(f"object: {what}", expected="a relocatable ELF64 object made by Trine", fix="delete the kernel cache"))


class ObjectFile:
    """A parsed relocatable object: its sections, symbols and relocations, all checked against the size of the file."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        if len(data) < _HEADER.size:
            raise _damaged(f"{len(data)} bytes are too few for an ELF header")
        ident, kind, machine, _, _, _, table, _, _, _, _, entry, count, _ = _HEADER.unpack_from(data)
        if ident[:6] != b"\x7fELF\x02\x01" or kind != 1 or machine not in _MACHINES or entry != _SECTION.size:
            raise _damaged("not a little-endian relocatable ELF64 object for x86-64 or AArch64")
        if table + count * entry > len(data):
            raise _damaged("the section table lies outside the file")
        self.machine = _MACHINES[machine]
        self.sections = [Section._make(s) for s in _SECTION.iter_unpack(data[table : table + count * entry])]
        for section in self.sections:
            if section.type != _SHT_NOBITS and section.offset + section.size > len(data):
                raise _damaged("a section lies outside the file")
        self.symbols: list[tuple[int, int, int, int, int, int]] = []
        self._strings = b""
        for section in self.sections:
            if section.type == _SHT_SYMTAB:
                self._read_symbols(section)

    def contents(self, section: Section) -> bytes:
        """Return a section's bytes in the file."""
        return self.data[section.offset : section.offset + section.size]

    def _read_symbols(self, section: Section) -> None:
        if self.symbols or section.entry_size != _SYMBOL.size or section.size % _SYMBOL.size:
            raise _damaged("the symbol table has an odd size, or there are two")
        if section.link >= len(self.sections) or self.sections[section.link].type != _SHT_STRTAB:
            raise _damaged("the symbol table has no string table")
        self._strings = self.contents(self.sections[section.link])
        self.symbols = list(_SYMBOL.iter_unpack(self.contents(section)))
        for symbol in self.symbols:
            if symbol[0] > len(self._strings) or (symbol[3] < _SHN_LORESERVE and symbol[3] >= len(self.sections)):
                raise _damaged("a symbol names a section or a string outside the file")

    def symbol_name(self, symbol: tuple[int, int, int, int, int, int]) -> str:
        """Return the name of a symbol."""
        start = symbol[0]
        return self._strings[start : self._strings.find(b"\0", start)].decode("utf-8", "replace")

    def relocations(self) -> list[tuple[int, int, int, int, int]]:
        """Return (section number, offset in it, type, symbol number, addend) of every relocation of an allocated section."""
        found = []
        for section in self.sections:
            if section.type != _SHT_RELA:
                continue
            if section.info >= len(self.sections) or section.size % _RELA.size:
                raise _damaged("a relocation table has an odd size or no section")
            target = self.sections[section.info]
            if not target.flags & _SHF_ALLOC:
                continue
            if target.type == _SHT_NOBITS:
                raise _damaged("a relocation in a section without contents")
            for offset, info, addend in _RELA.iter_unpack(self.contents(section)):
                if info >> 32 >= len(self.symbols) or offset + 4 > target.size:
                    raise _damaged("a relocation lies outside its section")
                found.append((section.info, offset, info & 0xFFFFFFFF, info >> 32, addend))
        return found


def lay_out(data: bytes, base: Callable[[int], int], resolve: Callable[[str], int]) -> Layout:
    """Lay an object's sections out in one image and relocate it.

    The image is: sections, then a table of the addresses of external symbols (and of what is reached through a GOT), then one jump through
    that table for each external function, because libraries may lie further away than a call reaches.

    Args:
        data: the object.
        base: gives the address at which an image of so many bytes will be mapped.
        resolve: gives the address of an external symbol by name.

    Raises:
        ObjectError: the object is damaged, or has an unknown relocation or symbol.
    """
    file = ObjectFile(data)
    places, size = _place_sections(file)
    relocations = file.relocations()
    table: dict[int, int] = {}  # symbol number -> index in the address table
    for _, _, kind, number, _ in relocations:
        if number not in table and (file.symbols[number][3] == _SHN_UNDEF or kind in _GOT_KINDS):
            table[number] = len(table)
    table_at = size
    stubs_at = table_at + 8 * len(table)
    image = bytearray(stubs_at + 16 * len(table))
    for number, place in places.items():
        section = file.sections[number]
        if section.type != _SHT_NOBITS:
            image[place : place + section.size] = file.contents(section)
    address = base(len(image))

    def locate(number: int) -> int:
        symbol = file.symbols[number]
        if symbol[3] == _SHN_UNDEF:
            return resolve(file.symbol_name(symbol))
        if symbol[3] == _SHN_ABS:
            return symbol[4]
        place = places.get(symbol[3])
        if place is None or symbol[4] > file.sections[symbol[3]].size:
            raise _damaged("a symbol lies outside the loaded sections")
        return address + place + symbol[4]

    stub = _STUBS[file.machine]
    for number, index in table.items():
        struct.pack_into("<Q", image, table_at + 8 * index, locate(number))
        image[stubs_at + 16 * index : stubs_at + 16 * index + 16] = stub(address + stubs_at + 16 * index, address + table_at + 8 * index)

    apply = _RELOCATIONS[file.machine]
    for section_number, offset, kind, number, addend in relocations:
        at = places[section_number] + offset
        if kind in _GOT_KINDS:
            symbol_address = address + table_at + 8 * table[number]
        elif number in table and kind in _CALL_KINDS:
            symbol_address = address + stubs_at + 16 * table[number]
        else:
            symbol_address = locate(number)
        if kind not in apply:
            raise _damaged(f"unknown relocation type {kind} for {file.machine}")
        width = apply[kind](image, at, symbol_address + addend, address + at)
        if offset + width > file.sections[section_number].size:
            raise _damaged("a relocation lies outside its section")
    return Layout(file.machine, image, _exports(file, places), places)


def _place_sections(file: ObjectFile) -> tuple[dict[int, int], int]:
    places: dict[int, int] = {}
    size = 0
    for number, section in enumerate(file.sections):
        if not section.flags & _SHF_ALLOC:
            continue
        alignment = max(section.alignment, _ALIGNMENT)
        if alignment & (alignment - 1) or alignment > mmap.PAGESIZE:
            raise _damaged(f"a section asks for an alignment of {alignment}")
        size = -(-size // alignment) * alignment
        places[number] = size
        size += section.size
        if size > _MAX_BYTES:
            raise _damaged(f"the sections are larger than {_MAX_BYTES} bytes")
    return places, -(-size // _ALIGNMENT) * _ALIGNMENT


def _exports(file: ObjectFile, places: dict[int, int]) -> dict[str, int]:
    symbols = {}
    for symbol in file.symbols:
        binding, section = symbol[1] >> 4, symbol[3]
        if binding and section in places and symbol[4] < file.sections[section].size:
            symbols[file.symbol_name(symbol)] = places[section] + symbol[4]
    return symbols


# --- relocations: each writes the field at image[at] for value = S + A and place = P, checks its range, returns its width in bytes ---


def _put_signed32(image: bytearray, at: int, value: int) -> int:
    if not -(1 << 31) <= value < 1 << 31:
        raise _damaged(f"a relocated value {value:#x} does not fit 32 bits")
    struct.pack_into("<i", image, at, value)
    return 4


def _absolute64(image: bytearray, at: int, value: int, place: int) -> int:
    return _put64(image, at, value)


def _relative64(image: bytearray, at: int, value: int, place: int) -> int:
    return _put64(image, at, value - place)


def _put64(image: bytearray, at: int, value: int) -> int:
    if at + 8 > len(image):
        raise _damaged("a relocation lies outside its section")
    struct.pack_into("<Q", image, at, value & _MASK64)
    return 8


def _relative32(image: bytearray, at: int, value: int, place: int) -> int:
    return _put_signed32(image, at, value - place)


def _absolute32(image: bytearray, at: int, value: int, place: int) -> int:
    if not 0 <= value < 1 << 32:
        raise _damaged(f"a relocated value {value:#x} does not fit 32 bits")
    struct.pack_into("<I", image, at, value)
    return 4


def _absolute32s(image: bytearray, at: int, value: int, place: int) -> int:
    return _put_signed32(image, at, value)


def _patch(image: bytearray, at: int, mask: int, bits: int) -> int:
    """Replace the bits of an instruction that `mask` selects."""
    (word,) = struct.unpack_from("<I", image, at)
    struct.pack_into("<I", image, at, (word & ~mask & 0xFFFFFFFF) | bits)
    return 4


def _adrp(image: bytearray, at: int, value: int, place: int) -> int:
    pages = (value >> 12) - (place >> 12)
    if not -(1 << 20) <= pages < 1 << 20:
        raise _damaged(f"a page distance of {pages} does not fit an ADRP instruction")
    return _patch(image, at, 0x60FFFFE0, (pages & 3) << 29 | (pages >> 2 & 0x7FFFF) << 5)


def _branch26(image: bytearray, at: int, value: int, place: int) -> int:
    distance = value - place
    if distance & 3 or not -(1 << 27) <= distance < 1 << 27:
        raise _damaged(f"a branch distance of {distance} does not fit a B or BL instruction")
    return _patch(image, at, 0x03FFFFFF, distance >> 2 & 0x03FFFFFF)


def _low12(scale: int) -> Callable[[bytearray, int, int, int], int]:
    """Return the relocation of a 12-bit page offset in units of `2**scale` bytes."""

    def apply(image: bytearray, at: int, value: int, place: int) -> int:
        if value & ((1 << scale) - 1):
            raise _damaged(f"address {value:#x} is not aligned for its load")
        return _patch(image, at, 0x003FFC00, (value & 0xFFF) >> scale << 10)

    return apply


_Relocation = Callable[[bytearray, int, int, int], int]

_X86_64: dict[int, _Relocation] = {
    1: _absolute64,  # R_X86_64_64
    2: _relative32,  # R_X86_64_PC32
    4: _relative32,  # R_X86_64_PLT32
    9: _relative32,  # R_X86_64_GOTPCREL
    10: _absolute32,  # R_X86_64_32
    11: _absolute32s,  # R_X86_64_32S
    24: _relative64,  # R_X86_64_PC64
    41: _relative32,  # R_X86_64_GOTPCRELX
    42: _relative32,  # R_X86_64_REX_GOTPCRELX
}
_AARCH64: dict[int, _Relocation] = {
    257: _absolute64,  # R_AARCH64_ABS64
    260: _relative64,  # R_AARCH64_PREL64
    261: _relative32,  # R_AARCH64_PREL32
    275: _adrp,  # R_AARCH64_ADR_PREL_PG_HI21
    277: _low12(0),  # R_AARCH64_ADD_ABS_LO12_NC
    278: _low12(0),  # R_AARCH64_LDST8_ABS_LO12_NC
    284: _low12(1),  # R_AARCH64_LDST16_ABS_LO12_NC
    285: _low12(2),  # R_AARCH64_LDST32_ABS_LO12_NC
    286: _low12(3),  # R_AARCH64_LDST64_ABS_LO12_NC
    299: _low12(4),  # R_AARCH64_LDST128_ABS_LO12_NC
    282: _branch26,  # R_AARCH64_JUMP26
    283: _branch26,  # R_AARCH64_CALL26
    311: _adrp,  # R_AARCH64_ADR_GOT_PAGE
    312: _low12(3),  # R_AARCH64_LD64_GOT_LO12_NC
}
_RELOCATIONS = {"x86_64": _X86_64, "aarch64": _AARCH64}
# The types of the two machines do not overlap.
_GOT_KINDS = frozenset({9, 41, 42, 311, 312})
_CALL_KINDS = frozenset({4, 282, 283})


def _stub_x86_64(at: int, entry: int) -> bytes:
    """``jmp *entry(%rip)``, padded with int3."""
    return b"\xff\x25" + struct.pack("<i", entry - (at + 6)) + b"\xcc" * 10


def _stub_aarch64(at: int, entry: int) -> bytes:
    """``ldr x16, entry; br x16``."""
    return struct.pack("<IIII", 0x58000010 | (entry - at >> 2 & 0x7FFFF) << 5, 0xD61F0200, 0xD4200000, 0xD4200000)


_STUBS = {"x86_64": _stub_x86_64, "aarch64": _stub_aarch64}


# --- executable memory ---


class LoadedObject:
    """An object in executable memory. It stays mapped until the process ends: nothing tells whether a thread still runs its code.

    Attributes:
        nbytes: size of the mapping.
    """

    __slots__ = ("_base", "_symbols", "nbytes")

    def __init__(self, base: int, nbytes: int, symbols: dict[str, int]) -> None:
        self._base = base
        self._symbols = symbols
        self.nbytes = nbytes

    def address(self, symbol: str) -> int:
        """Return the address of a global symbol. Raises ObjectError if the object does not define it."""
        try:
            return self._base + self._symbols[symbol]
        except KeyError:
            raise _damaged(f"no symbol {symbol!r}") from None


def load(data: bytes, symbols: Mapping[str, int] | None = None) -> LoadedObject:
    """Load a relocatable object of this machine's architecture.

    Args:
        data: the object.
        symbols: addresses of external symbols; others are functions of the interpreter (``Py…``) or of the C library.

    Raises:
        ObjectError: the object is damaged, of another architecture, or refers to an unknown symbol.
        AllocationError: the system gives no memory, or forbids making it executable.
    """
    mappings: list[tuple[int, int]] = []
    known = symbols or {}

    def base(size: int) -> int:
        mappings.append(_map(size))
        return mappings[0][0]

    try:
        layout = lay_out(data, base, lambda name: known[name] if name in known else resolve_external(name))
        if layout.machine != _host_machine():
            raise _damaged(f"code for {layout.machine} on a {_host_machine()} machine")
        address, nbytes = mappings[0]
        ctypes.memmove(address, bytes(layout.image), len(layout.image))
        # On AArch64 Linux makes the instruction cache coherent when it first maps a page as executable.
        if _libc().mprotect(address, nbytes, mmap.PROT_READ | mmap.PROT_EXEC):
            raise AllocationError(
                message("object: the system forbids executable memory", fix="allow it for this process, or select TRINE_ENGINE=numpy")
            )
    except BaseException:
        for address, nbytes in mappings:
            _libc().munmap(address, nbytes)
        raise
    return LoadedObject(address, nbytes, layout.symbols)


def _map(size: int) -> tuple[int, int]:
    """Return (address, size) of fresh writable pages."""
    size = max(-(-size // mmap.PAGESIZE), 1) * mmap.PAGESIZE
    address = _libc().mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    if address is None or address == ctypes.c_void_p(-1).value:
        raise AllocationError(message("object: no memory for code", received=f"{size} bytes, {os.strerror(ctypes.get_errno())}"))
    return int(address), size


@functools.cache
def _host_machine() -> str:
    name = platform.machine().lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(name, name)


@functools.cache
def _libc() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64)
    library.mmap.restype = ctypes.c_void_p
    library.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    library.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    return library


@functools.cache
def _libraries() -> list[ctypes.CDLL]:
    libraries = [_libc()]
    for name in ("libm.so.6", "libm.so", "libSystem.dylib"):
        try:
            libraries.append(ctypes.CDLL(name))
        except OSError:
            continue
    return libraries


@functools.cache
def resolve_external(name: str) -> int:
    """Return the address of a function of the interpreter (``Py…``), the C or the mathematics library.

    Raises:
        ObjectError: there is none of that name.
    """
    for library in [ctypes.pythonapi] if name.startswith("Py") else _libraries():
        function = getattr(library, name, None)
        if function is not None:
            return ctypes.cast(function, ctypes.c_void_p).value or 0
    raise _damaged(f"the system's C library has no function {name!r}")
