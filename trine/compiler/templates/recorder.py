"""The recorder's hot path as LLVM IR: builtin functions of CPython that record an operation which the automaton knows.

Functions of the module (`ptr` to Python objects unless said otherwise):

- ``entry_<i>(self, other)`` for i below `NUM_ENTRIES`: method ``a <op> b``, ``b <op> a`` or ``<op> a`` of row i of the operator table;
- ``record_call(self, args, i64 count, names)``: `trine.tensor.recorder.record` (METH_FASTCALL | METH_KEYWORDS);
- ``held(self, list)``: a new list of the items that something else holds too (METH_O).

Whatever is not the plain case (a new operation, an operand of another recording, a number that is no exact float or int, any error) is
handed to the Python function with the same arguments; nothing is changed before that, save that operands may have become leaves.

Python code may run wherever an object is made that the garbage collector tracks, or a key is hashed; so
whatever is used afterwards is held by a reference of our own, and the recording must still be in the state that it was in.
"""

from __future__ import annotations

from trine.compiler.ir import Function, Module
from trine.compiler.target import Target
from trine.compiler.templates.python_objects import (
    NUM_ENTRIES,
    NUM_WORDS,
    REFLECTED,
    TABLE,
    UNARY,
    Code,
    decref,
    get,
    incref,
    item,
    items,
    place,
    put,
    row_word,
    type_of,
    word,
)

MAX_KEY = 1024  # elements of a key that live on the stack; a longer one is left to Python
SCANNED = 4  # transitions of a state that are compared by identity before a key is hashed
FUNCTIONS = ("record_call", "held", *(f"entry_{i}" for i in range(NUM_ENTRIES)))


def emit_recorder(target: Target) -> str:
    """Return the LLVM IR of the module."""
    module = Module(128)
    module.declarations[TABLE] = f"@{TABLE} = external constant [{NUM_WORDS} x i64], align 8"
    _emit_is_handle(module)
    _emit_same_int(module)
    _emit_find(module)
    _emit_leaf(module)
    _emit_keys(module)
    _emit_fill(module)
    _emit_one(module)
    _emit_several(module)
    _emit_commit(module)
    _emit_operation(module)
    _emit_entries(module)
    _emit_record_call(module)
    _emit_held(module)
    return module.text()


# --- the parts ---------------------------------------------------------------------------------------------------------------------------


def _emit_is_handle(m: Module) -> None:
    """is_handle(type) -> i32: a tensor's type, Tensor first."""
    f = m.function("is_handle", [("ptr", "type")], "i32", internal=True)
    with f.when(f.icmp("eq", "%type", word(f, "type.tensor"), "ptr")):
        f.emit("ret i32 1")
        f.at(f.label("dead"))
    f.ret("i32 " + f.call("i32", "PyType_IsSubtype", ("ptr", "%type"), ("ptr", word(f, "type.handle"))))


def _emit_same_int(m: Module) -> None:
    """same_int(a, b) -> i32: both are exact ints of 64 bits and equal."""
    c = Code(m, "same_int", [("ptr", "a"), ("ptr", "b")], "i32")
    f = c.f
    overflow = c.variable("i32", "0")
    values = []
    for value in ("%a", "%b"):
        c.need_type(value, "type.int")
        values.append(f.call("i64", "PyLong_AsLongLongAndOverflow", ("ptr", value), ("ptr", overflow)))
        c.need(f.icmp("eq", f.load("i32", overflow, 4), 0, "i32"))
    c.finish(f.value(f"zext i1 {f.icmp('eq', *values)} to i32"))


def _emit_find(m: Module) -> None:
    """find(state, keys, count) -> new reference to the State that a key leads to, or null.

    The elements of a key are mostly the very objects of the last time, so the first few transitions are compared so, which needs
    neither a tuple nor a hash. Otherwise Python code may run here.
    """
    c = Code(m, "find", [("ptr", "state"), ("ptr", "keys"), ("i64", "count")], "ptr")
    f = c.f
    transitions, key = c.owned(), c.owned()
    position, found_key, found = c.variable("i64", "0"), c.variable("ptr", "null"), c.variable("ptr", "null")
    following = get(f, "%state", "state.next")
    c.need_type(following, "type.dict")
    c.borrow(transitions, following)
    hash_it, done = f.label("hash"), f.label("done")
    for _ in range(SCANNED):
        more = f.call("i32", "PyDict_Next", ("ptr", following), ("ptr", position), ("ptr", found_key), ("ptr", found))
        look, other = f.label("look"), f.label("other")
        f.cond_br(f.icmp("ne", more, 0, "i32"), look, hash_it)
        f.at(look)
        same = f.call_pointer("i32", "@is_key", ("ptr", f.load("ptr", found_key, 8)), ("ptr", "%keys"), ("i64", "%count"))
        f.cond_br(f.icmp("ne", same, 0, "i32"), done, other)
        f.at(other)
    f.br(hash_it)
    f.at(hash_it)
    f.store("ptr", "null", found, 8)
    with f.loop(0, "%count") as loop:
        incref(f, item(f, "%keys", loop.index))
    made = f.call("ptr", "PyTuple_New", ("i64", "%count"))
    with f.when(f.icmp("eq", made, "null", "ptr")), f.loop(0, "%count") as loop:
        decref(f, item(f, "%keys", loop.index))
    c.own(key, made)
    target = items(f, made)
    with f.loop(0, "%count") as loop:
        f.store("ptr", item(f, "%keys", loop.index), f.gep(target, loop.index, "ptr"), 8)
    value = f.call("ptr", "PyDict_GetItemWithError", ("ptr", following), ("ptr", made))
    f.store("ptr", value, found, 8)
    f.br(done)
    f.at(done)
    state = f.load("ptr", found, 8)
    c.need_type(state, "type.state")
    incref(f, state)
    c.finish(state)

    c = Code(m, "is_key", [("ptr", "key"), ("ptr", "keys"), ("i64", "count")], "i32")
    f = c.f
    c.need_type("%key", "type.tuple")
    c.need(f.icmp("eq", f.call("i64", "PyTuple_Size", ("ptr", "%key")), "%count"))
    parts = items(f, "%key")
    with f.loop(0, "%count") as loop:
        known, given = item(f, parts, loop.index), item(f, "%keys", loop.index)
        with f.when(f.icmp("ne", known, given, "ptr")):  # slots may be equal without being one object
            c.need(f.icmp("ne", f.call_pointer("i32", "@same_int", ("ptr", known), ("ptr", given)), 0, "i32"))
    c.finish("1")


def _emit_leaf(m: Module) -> None:
    """leaf(trace, tensor) -> i32: make a concrete tensor a leaf of the recording, as `Trace.slot_of` does. Python code may run here."""
    c = Code(m, "leaf", [("ptr", "trace"), ("ptr", "tensor")], "i32")
    f = c.f
    names = ("before", "buffer", "meta", "identity", "position", "found", "old_trace", "old_slot")
    o = {name: c.owned() for name in names}
    keys = f.value("alloca [3 x ptr], align 8")
    count = c.variable("i64", "2")
    _emit_is_current(c, c.variable("i32", "0"))
    buffer = c.borrow(o["buffer"], get(f, "%tensor", "handle._buffer"))
    c.need(f.icmp("ne", buffer, word(f, "none"), "ptr"))
    meta = c.borrow(o["meta"], get(f, "%tensor", "handle._meta"))
    positions, leaves = get(f, "%trace", "trace._positions"), get(f, "%trace", "trace.leaves")
    c.need_type(positions, "type.dict")
    c.need_type(leaves, "type.list")
    identity = c.own(o["identity"], f.call("ptr", "PyLong_FromVoidPtr", ("ptr", buffer)))
    known = f.call("ptr", "PyDict_GetItemWithError", ("ptr", positions), ("ptr", identity))
    is_new = f.icmp("eq", known, "null", "ptr")
    new, old, join = f.label("new"), f.label("old"), f.label("join")
    f.cond_br(is_new, new, old)
    f.at(new)
    length = f.call("i64", "PyList_Size", ("ptr", leaves))
    f.store("ptr", f.call("ptr", "PyLong_FromLongLong", ("i64", length)), o["position"], 8)
    f.br(join)
    f.at(old)
    incref(f, known)
    f.store("ptr", known, o["position"], 8)
    f.store("i64", "3", count, 8)
    f.br(join)
    f.at(join)
    position = f.load("ptr", o["position"], 8)
    c.need(f.icmp("ne", position, "null", "ptr"))
    for index, value in enumerate((word(f, "leaf"), meta, position)):
        f.store("ptr", value, f.gep(keys, index, "ptr"), 8)
    before = c.borrow(o["before"], get(f, "%trace", "trace.state"))
    c.need_type(before, "type.state")
    arguments = (("ptr", before), ("ptr", keys), ("i64", f.load("i64", count, 8)))
    found = c.own(o["found"], f.call_pointer("ptr", "@find", *arguments))
    for value, field, expected in (
        ("%trace", "trace.state", before),
        ("%tensor", "handle._buffer", buffer),
        ("%tensor", "handle._meta", meta),
        ("%trace", "trace._positions", positions),
        ("%trace", "trace.leaves", leaves),
    ):
        c.need(f.icmp("eq", get(f, value, field), expected, "ptr"))
    c.need(f.icmp("ne", get(f, "%tensor", "handle._trace"), "%trace", "ptr"))
    tensors, slot = get(f, "%trace", "trace.leaf_tensors"), get(f, found, "state.slot")
    c.need_type(tensors, "type.dict")
    c.need_type(slot, "type.int")
    c.need(f.icmp("eq", f.call("i32", "PyDict_SetItem", ("ptr", tensors), ("ptr", slot), ("ptr", "%tensor")), 0, "i32"))
    with f.when(is_new):
        length = f.call("i64", "PyList_Size", ("ptr", leaves))
        c.need(f.icmp("eq", f.call("i32", "PyList_Append", ("ptr", leaves), ("ptr", buffer)), 0, "i32"))
        code = f.call("i32", "PyDict_SetItem", ("ptr", positions), ("ptr", identity), ("ptr", position))
        with f.when(f.icmp("ne", code, 0, "i32")):
            _truncate(f, leaves, length)
        c.need(f.icmp("eq", code, 0, "i32"))
    incref(f, slot)
    incref(f, "%trace")
    for value, field, new_value, old_value in (
        ("%trace", "trace.state", c.give(o["found"]), None),
        ("%tensor", "handle._trace", "%trace", o["old_trace"]),
        ("%tensor", "handle._slot", slot, o["old_slot"]),
    ):
        previous = get(f, value, field)
        f.store("ptr", new_value, place(f, value, field), 8)
        if old_value is None:
            decref(f, previous)  # not the last reference: `before` is another
        else:
            f.store("ptr", previous, old_value, 8)
    c.finish("1")


def _emit_is_current(c: Code, overflow: str) -> None:
    """Leave if the tensor is a stale member of an alias group."""
    f = c.f
    group = get(f, "%tensor", "handle._alias")
    check, version, default, compare, fresh = (f.label(n) for n in ("check", "version", "default", "compare", "fresh"))
    is_alone = f.value(f"or i1 {f.icmp('eq', group, 'null', 'ptr')}, {f.icmp('eq', group, word(f, 'none'), 'ptr')}")
    f.cond_br(is_alone, fresh, check)
    f.at(check)
    c.need_type(group, "type.alias")
    current, own = get(f, group, "alias.version"), get(f, "%tensor", "handle._alias_version")
    f.cond_br(f.icmp("eq", own, "null", "ptr"), default, compare)
    f.at(default)  # a version that was never set is 0
    c.need_type(current, "type.int")
    c.need(f.icmp("eq", f.call("i64", "PyLong_AsLongLongAndOverflow", ("ptr", current), ("ptr", overflow)), 0))
    f.br(fresh)
    f.at(compare)
    c.need(f.icmp("ne", f.call_pointer("i32", "@same_int", ("ptr", current), ("ptr", own)), 0, "i32"))
    f.br(fresh)
    f.at(fresh)


def _truncate(f: Function, values: str, length: str) -> None:
    """Take the items after `length` off a list again, keeping the exception that is set."""
    f.call("i32", "PyList_SetSlice", ("ptr", values), ("i64", length), ("i64", str((1 << 63) - 1)), ("ptr", "null"))


def _emit_keys(m: Module) -> None:
    """operand_keys(trace, operands, count, keys) -> i32: write each operand's element of the key (borrowed).

    Returns 1; 0 if an operand is not for us; 2 if a tensor has no place in this recording yet. No Python code runs here.
    """
    c = Code(m, "operand_keys", [("ptr", "trace"), ("ptr", "operands"), ("i64", "count"), ("ptr", "keys")], "i32")
    f = c.f
    overflow = c.variable("i32", "0")
    with f.loop(0, "%count") as loop:
        operand = item(f, "%operands", loop.index)
        kind = type_of(f, operand)
        tensor, number, whole, other, after = (f.label(n) for n in ("tensor", "number", "whole", "other", "after"))
        for name, label in (("type.tensor", tensor), ("type.float", number), ("type.int", whole)):
            onward = f.label("not")
            f.cond_br(f.icmp("eq", kind, word(f, name), "ptr"), label, onward)
            f.at(onward)
        f.br(other)
        f.at(other)
        c.need(f.icmp("ne", f.call_pointer("i32", "@is_handle", ("ptr", kind)), 0, "i32"))
        f.br(tensor)
        f.at(tensor)
        mine, foreign = f.label("mine"), f.label("foreign")
        f.cond_br(f.icmp("eq", get(f, operand, "handle._trace"), "%trace", "ptr"), mine, foreign)
        f.at(foreign)
        f.store("i32", "2", c.result, 8)
        f.br(c.leave)
        f.at(mine)
        slot = get(f, operand, "handle._slot")
        c.need(f.icmp("ne", slot, "null", "ptr"))
        f.store("ptr", slot, f.gep("%keys", loop.index, "ptr"), 8)
        f.br(after)
        f.at(whole)
        f.call("i64", "PyLong_AsLongLongAndOverflow", ("ptr", operand), ("ptr", overflow))
        c.need(f.icmp("eq", f.load("i32", overflow, 4), 0, "i32"))
        f.br(number)
        f.at(number)
        f.store("ptr", kind, f.gep("%keys", loop.index, "ptr"), 8)
        f.br(after)
        f.at(after)
    c.finish("1")


def _emit_fill(m: Module) -> None:
    """fill(tensor, trace, slot, meta): give a fresh tensor its place; takes references of its own."""
    f = m.function("fill", [("ptr", "tensor"), ("ptr", "trace"), ("ptr", "slot"), ("ptr", "meta")], "void", internal=True)
    for field, value in (("handle._trace", "%trace"), ("handle._slot", "%slot"), ("handle._meta", "%meta")):
        incref(f, value)
        put(f, "%tensor", field, value)
    for field in ("handle._buffer", "handle._alias"):  # read at every flush; a default would cost a call of Python code
        put(f, "%tensor", field, none := word(f, "none"))
        incref(f, none)
    f.ret()


def _emit_one(m: Module) -> None:
    """one(trace, state) -> new tensor, the first result of a state. Python code may run here."""
    c = Code(m, "one", [("ptr", "trace"), ("ptr", "state")], "ptr")
    f = c.f
    made = c.owned()
    tensor = c.own(made, f.call("ptr", "PyType_GenericAlloc", ("ptr", word(f, "type.tensor")), ("i64", "0")))
    slot, meta = get(f, "%state", "state.slot"), get(f, "%state", "state.meta")
    c.need_type(slot, "type.int")
    c.need(f.icmp("ne", meta, "null", "ptr"))
    c.need(f.icmp("ne", meta, word(f, "none"), "ptr"))
    f.call_pointer("void", "@fill", ("ptr", tensor), ("ptr", "%trace"), ("ptr", slot), ("ptr", meta))
    c.finish(c.give(made))


def _emit_several(m: Module) -> None:
    """several(trace, state) -> new tuple of the tensors of all results of a state. Python code may run here."""
    c = Code(m, "several", [("ptr", "trace"), ("ptr", "state")], "ptr")
    f = c.f
    results, number, held = c.owned(), c.owned(), c.owned()
    overflow = c.variable("i32", "0")
    slot, metas = get(f, "%state", "state.slot"), get(f, "%state", "state.metas")
    c.need_type(slot, "type.int")
    c.need_type(metas, "type.tuple")
    c.borrow(held, metas)
    first = f.call("i64", "PyLong_AsLongLongAndOverflow", ("ptr", slot), ("ptr", overflow))
    count = f.call("i64", "PyTuple_Size", ("ptr", metas))
    made = f.call("ptr", "PyTuple_New", ("i64", count))
    c.own(results, made)
    target, sources = items(f, made), items(f, metas)
    with f.loop(0, count) as loop:
        tensor = f.call("ptr", "PyType_GenericAlloc", ("ptr", word(f, "type.tensor")), ("i64", "0"))
        f.store("ptr", tensor, f.gep(target, loop.index, "ptr"), 8)
        c.need(f.icmp("ne", tensor, "null", "ptr"))
        value = c.own(number, f.call("ptr", "PyLong_FromLongLong", ("i64", f.add(first, loop.index))))
        f.call_pointer("void", "@fill", ("ptr", tensor), ("ptr", "%trace"), ("ptr", value), ("ptr", item(f, sources, loop.index)))
        decref(f, c.give(number))
    c.finish(c.give(results))


def _emit_commit(m: Module) -> None:
    """commit(trace, before, found, operands, count, tensors, num_tensors) -> i32: move the recording on. No Python code runs here.

    All or nothing: scalars and handles are listed, then the state is set. Returns 0 if the recording is not in the state `before` any more.
    """
    args = [("ptr", "trace"), ("ptr", "before"), ("ptr", "found"), ("ptr", "operands"), ("i64", "count"), ("ptr", "tensors")]
    c = Code(m, "commit", [*args, ("i64", "num_tensors")], "i32")
    f = c.f
    undo = f.label("undo")
    c.need(f.icmp("eq", get(f, "%trace", "trace.state"), "%before", "ptr"))
    scalars, handles = get(f, "%trace", "trace.scalars"), get(f, "%trace", "trace.handles")
    c.need_type(scalars, "type.list")
    c.need_type(handles, "type.list")
    num_scalars, num_handles = (f.call("i64", "PyList_Size", ("ptr", v)) for v in (scalars, handles))

    def append(values: str, value: str) -> None:
        onward = f.label("added")
        f.cond_br(f.icmp("eq", f.call("i32", "PyList_Append", ("ptr", values), ("ptr", value)), 0, "i32"), onward, undo)
        f.at(onward)

    with f.loop(0, "%count") as loop:
        operand = item(f, "%operands", loop.index)
        kind = type_of(f, operand)
        is_number = f.value(f"or i1 {f.icmp('eq', kind, word(f, 'type.float'), 'ptr')}, {f.icmp('eq', kind, word(f, 'type.int'), 'ptr')}")
        with f.when(is_number):
            append(scalars, operand)
    with f.loop(0, "%num_tensors") as loop:
        append(handles, item(f, "%tensors", loop.index))
    incref(f, "%found")
    f.store("ptr", "%found", place(f, "%trace", "trace.state"), 8)
    decref(f, "%before")  # the trace's reference; the caller has another
    f.store("i32", "1", c.result, 8)
    f.br(c.leave)
    f.at(undo)
    _truncate(f, scalars, num_scalars)
    _truncate(f, handles, num_handles)
    c.finish()


def _emit_operation(m: Module) -> None:
    """operation(builder, operands, count, attrs, num_attrs) -> new reference to the result, or null (without exception) for Python's turn.

    The caller holds the builder, the operands and the attributes.
    """
    args = [("ptr", "builder"), ("ptr", "operands"), ("i64", "count"), ("ptr", "attrs"), ("i64", "num_attrs")]
    c = Code(m, "operation", args, "ptr")
    f = c.f
    o = {name: c.owned() for name in ("trace", "before", "found", "result")}
    code = c.variable("i32", "0")
    single = c.variable("ptr", "null")
    first_attr = f.add("%count", 1)
    length = f.add(first_attr, "%num_attrs")
    c.need(f.icmp("sle", length, MAX_KEY))
    keys = f.value(f"alloca ptr, i64 {length}, align 8")
    trace = c.own(o["trace"], f.call("ptr", "PyObject_GetAttr", ("ptr", word(f, "local")), ("ptr", word(f, "name.trace"))))
    c.need_type(trace, "type.trace")
    operand_keys = f.gep(keys, 1, "ptr")
    arguments = (("ptr", trace), ("ptr", "%operands"), ("i64", "%count"), ("ptr", operand_keys))
    again, ready = f.label("again"), f.label("ready")
    f.store("i32", f.call_pointer("i32", "@operand_keys", *arguments), code, 8)
    f.cond_br(f.icmp("eq", f.load("i32", code, 8), 2, "i32"), again, ready)
    f.at(again)
    with f.loop(0, "%count") as loop:
        operand = item(f, "%operands", loop.index)
        is_handle = f.call_pointer("i32", "@is_handle", ("ptr", type_of(f, operand)))
        with f.when(f.icmp("ne", is_handle, 0, "i32")):
            is_foreign = f.icmp("ne", get(f, operand, "handle._trace"), trace, "ptr")
            with f.when(is_foreign):
                c.need(f.icmp("ne", f.call_pointer("i32", "@leaf", ("ptr", trace), ("ptr", operand)), 0, "i32"))
    f.store("i32", f.call_pointer("i32", "@operand_keys", *arguments), code, 8)
    f.br(ready)
    f.at(ready)
    c.need(f.icmp("eq", f.load("i32", code, 8), 1, "i32"))
    f.store("ptr", "%builder", keys, 8)
    with f.loop(0, "%num_attrs") as loop:
        f.store("ptr", item(f, "%attrs", loop.index), f.gep(keys, f.add(first_attr, loop.index), "ptr"), 8)
    before = c.borrow(o["before"], get(f, trace, "trace.state"))
    c.need_type(before, "type.state")
    found = c.own(o["found"], f.call_pointer("ptr", "@find", ("ptr", before), ("ptr", keys), ("i64", length)))
    commit = (("ptr", trace), ("ptr", before), ("ptr", found), ("ptr", "%operands"), ("i64", "%count"))
    one, many = f.label("one"), f.label("many")
    f.cond_br(f.icmp("eq", get(f, found, "state.info"), word(f, "none"), "ptr"), one, many)
    f.at(one)
    result = c.own(o["result"], f.call_pointer("ptr", "@one", ("ptr", trace), ("ptr", found)))
    f.store("ptr", result, single, 8)
    c.need(f.icmp("ne", f.call_pointer("i32", "@commit", *commit, ("ptr", single), ("i64", "1")), 0, "i32"))
    f.store("ptr", c.give(o["result"]), c.result, 8)
    f.br(c.leave)
    f.at(many)
    result = c.own(o["result"], f.call_pointer("ptr", "@several", ("ptr", trace), ("ptr", found)))
    count = f.call("i64", "PyTuple_Size", ("ptr", result))
    c.need(f.icmp("ne", f.call_pointer("i32", "@commit", *commit, ("ptr", items(f, result)), ("i64", count)), 0, "i32"))
    c.finish(c.give(o["result"]))


# --- entry points ------------------------------------------------------------------------------------------------------------------------


def _emit_entries(m: Module) -> None:
    for index in range(NUM_ENTRIES):
        f = m.function(f"entry_{index}", [("ptr", "self"), ("ptr", "other")], "ptr")
        words = [("i64", row_word(f, index, "kind", "i64")), *(("ptr", row_word(f, index, n)) for n in ("builder", "method"))]
        f.ret("ptr " + f.call_pointer("ptr", "@operator", ("ptr", "%self"), ("ptr", "%other"), *words))

    f = m.function(
        "operator", [("ptr", "self"), ("ptr", "other"), ("i64", "kind"), ("ptr", "builder"), ("ptr", "method")], "ptr", internal=True
    )
    operands, straight = f.value("alloca [2 x ptr], align 8"), f.value("alloca [2 x ptr], align 8")
    is_reflected = f.icmp("eq", "%kind", REFLECTED)
    count = f.select(f.icmp("eq", "%kind", UNARY), 1, 2)
    f.store("ptr", f.select(is_reflected, "%other", "%self", "ptr"), operands, 8)
    f.store("ptr", f.select(is_reflected, "%self", "%other", "ptr"), f.gep(operands, 1, "ptr"), 8)
    f.store("ptr", "%self", straight, 8)
    f.store("ptr", "%other", f.gep(straight, 1, "ptr"), 8)
    result = f.call_pointer("ptr", "@operation", ("ptr", "%builder"), ("ptr", operands), ("i64", count), ("ptr", "null"), ("i64", "0"))
    with f.when(f.icmp("ne", result, "null", "ptr")):
        f.emit(f"ret ptr {result}")
        f.at(f.label("dead"))
    arguments = (("ptr", "%method"), ("ptr", straight), ("i64", count), ("ptr", "null"))
    f.call("void", "PyErr_Clear")
    f.ret("ptr " + f.call("ptr", "PyObject_Vectorcall", *arguments))


def _emit_record_call(m: Module) -> None:
    c = Code(m, "record_call", [("ptr", "self"), ("ptr", "args"), ("i64", "count"), ("ptr", "names")], "ptr", internal=False)
    f = c.f
    operands = c.owned()
    python, listed, go, after = (f.label(n) for n in ("python", "listed", "go", "after"))
    plain = f.value(f"and i1 {f.icmp('eq', '%names', 'null', 'ptr')}, {f.icmp('sge', '%count', 2)}")
    look = f.label("look")
    f.cond_br(plain, look, python)
    f.at(look)
    given = item(f, "%args", 1)
    kind = type_of(f, given)
    f.cond_br(f.icmp("eq", kind, word(f, "type.tuple"), "ptr"), go, listed)
    f.at(listed)
    copy, made = f.label("copy"), f.label("made")
    f.cond_br(f.icmp("eq", kind, word(f, "type.list"), "ptr"), copy, python)
    f.at(copy)  # a list may change while Python code runs
    own = f.call("ptr", "PyList_AsTuple", ("ptr", given))
    f.store("ptr", own, operands, 8)
    f.cond_br(f.icmp("ne", own, "null", "ptr"), made, c.leave)
    f.at(made)
    f.br(go)
    f.at(go)
    sequence = f.value(f"phi ptr [ {given}, %{look} ], [ {own}, %{made} ]")
    number = f.call("i64", "PyTuple_Size", ("ptr", sequence))
    attrs = (("ptr", f.gep("%args", 2, "ptr")), ("i64", f.sub("%count", 2)))
    result = f.call_pointer("ptr", "@operation", ("ptr", item(f, "%args", 0)), ("ptr", items(f, sequence)), ("i64", number), *attrs)
    f.cond_br(f.icmp("ne", result, "null", "ptr"), after, python)
    f.at(after)
    f.store("ptr", result, c.result, 8)
    f.br(c.leave)
    f.at(python)
    f.call("void", "PyErr_Clear")
    arguments = (("ptr", word(f, "record")), ("ptr", "%args"), ("i64", "%count"), ("ptr", "%names"))
    c.finish(f.call("ptr", "PyObject_Vectorcall", *arguments))


def _emit_held(m: Module) -> None:
    """The reference counts are read from the objects' heads; whether they are what they seem is tried out when it is installed."""
    c = Code(m, "held", [("ptr", "self"), ("ptr", "values")], "ptr", internal=False)
    f = c.f
    found = c.owned()
    wrong = f.label("wrong")
    right = f.label("right")
    f.cond_br(f.icmp("eq", type_of(f, "%values"), word(f, "type.list"), "ptr"), right, wrong)
    f.at(wrong)
    f.call("void", "PyErr_BadInternalCall")
    f.br(c.leave)
    f.at(right)
    c.own(found, f.call("ptr", "PyList_New", ("i64", "0")))
    with f.loop(0, f.call("i64", "PyList_Size", ("ptr", "%values"))) as loop:
        value = f.call("ptr", "PyList_GetItem", ("ptr", "%values"), ("i64", loop.index))
        c.need(f.icmp("ne", value, "null", "ptr"))
        with f.when(f.icmp("sgt", f.load("i64", value, 8), 1)):
            code = f.call("i32", "PyList_Append", ("ptr", f.load("ptr", found, 8)), ("ptr", value))
            c.need(f.icmp("eq", code, 0, "i32"))
    c.finish(c.give(found))
