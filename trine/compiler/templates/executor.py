"""The native side of the runtime: the command-buffer executor and the loops of the worker pool, as LLVM IR.

Functions of the module:

- ``i64 executor_run(ptr run)``: run a segment of commands; the status code.
- ``ptr executor_call(ptr self, ptr argument)``: the same as a CPython builtin (METH_O); releases the GIL if the run block asks for it.
- ``void pool_worker(ptr pool, i64 number)``: the life of a worker thread.
- ``void pool_stop(ptr pool)``: wait until no plan uses the pool and let the workers return.
- ``void pool_pause(i64 count)``: execute so many pause instructions.

The offsets come from the caller (`trine.runtime.executor.LAYOUT`); the protocol is described in `trine.runtime.pool`.
"""

from __future__ import annotations

from collections.abc import Mapping
from string import Template

from trine.compiler.program import Kernel
from trine.compiler.target import Target

# architecture -> (declaration, instruction) of the hint that the thread is spinning
_PAUSE = {
    "x86_64": ("declare void @llvm.x86.sse2.pause()", "call void @llvm.x86.sse2.pause()"),
    "aarch64": ("declare void @llvm.aarch64.hint(i32)", "call void @llvm.aarch64.hint(i32 1)"),
}
_CHUNKS_PER_THREAD = 8  # small enough pieces that a thread that loses its processor for a while does not hold up the others


def executor_kernel(layout: Mapping[str, int]) -> Kernel:
    """Return the module as a `Kernel` (to be compiled and cached like the others); its functions are those named above."""
    return Kernel(("executor", tuple(sorted(layout.items()))), lambda target: emit_executor(target, layout))


def emit_executor(target: Target, layout: Mapping[str, int]) -> str:
    """Return the LLVM IR of the module for a target and the offsets of `trine.runtime.executor.LAYOUT`."""
    declaration, pause = _PAUSE.get(target.arch, ("", ""))
    names = {key.replace(".", "_"): str(value) for key, value in layout.items()}
    text = "\n".join(part for _, part in sorted(_FUNCTIONS.items()))
    return Template(text).substitute(names, declaration=declaration, pause=pause, chunks_per_thread=_CHUNKS_PER_THREAD)


_FUNCTIONS = {
    "0 attributes": """
$declaration
declare i64 @llvm.smin.i64(i64, i64)
attributes #0 = { nounwind "frame-pointer"="none" }
""",
    # Every thread takes the chunks of its own share of the loop, and then those that are left of the others' shares. So a thread tends to
    # work on the same part of an array in one command after the other, which it finds in its cache.
    "1 chunks": """
define internal i64 @run_chunks(ptr %pool, i64 %thread) noinline #0 {
entry:
  %kernel.p = getelementptr i8, ptr %pool, i64 $pool_kernel
  %kernel = load ptr, ptr %kernel.p, align 8
  %table.p = getelementptr i8, ptr %pool, i64 $pool_table
  %table = load ptr, ptr %table.p, align 8
  %params.p = getelementptr i8, ptr %pool, i64 $pool_params
  %params = load ptr, ptr %params.p, align 8
  %units.p = getelementptr i8, ptr %pool, i64 $pool_units
  %units = load i64, ptr %units.p, align 8
  %chunk.p = getelementptr i8, ptr %pool, i64 $pool_chunk
  %chunk = load i64, ptr %chunk.p, align 8
  %chunks.p = getelementptr i8, ptr %pool, i64 $pool_chunks
  %chunks = load i64, ptr %chunks.p, align 8
  %threads.p = getelementptr i8, ptr %pool, i64 $pool_threads
  %threads = load i64, ptr %threads.p, align 8
  br label %share
share:
  %visited = phi i64 [ 0, %entry ], [ %visited.next, %leave ]
  %taken.share = phi i64 [ 0, %entry ], [ %taken, %leave ]
  %is_last = icmp sge i64 %visited, %threads
  br i1 %is_last, label %done, label %enter
enter:
  %sum = add i64 %thread, %visited
  %is_over = icmp sge i64 %sum, %threads
  %wrapped = sub i64 %sum, %threads
  %owner = select i1 %is_over, i64 %wrapped, i64 %sum
  %owner.next = add i64 %owner, 1
  %scaled = mul i64 %owner.next, %chunks
  %high = udiv i64 %scaled, %threads
  %offset = mul i64 %owner, 8
  %offset.p = add i64 %offset, $pool_counters
  %counter.p = getelementptr i8, ptr %pool, i64 %offset.p
  br label %look
look:
  %taken = phi i64 [ %taken.share, %enter ], [ %taken.next, %run ]
  %seen = load atomic i64, ptr %counter.p monotonic, align 8
  %has_some = icmp slt i64 %seen, %high
  br i1 %has_some, label %take, label %leave
take:
  %number = atomicrmw add ptr %counter.p, i64 1 monotonic, align 8
  %is_mine = icmp slt i64 %number, %high
  br i1 %is_mine, label %work, label %leave
work:
  %begin = mul i64 %number, %chunk
  %rest = add i64 %begin, %chunk
  %end = call i64 @llvm.smin.i64(i64 %rest, i64 %units)
  %is_inside = icmp slt i64 %begin, %end
  br i1 %is_inside, label %run, label %leave
run:
  call void %kernel(ptr %table, ptr %params, i64 %begin, i64 %end, i64 %thread)
  %taken.next = add i64 %taken, 1
  br label %look
leave:
  %visited.next = add i64 %visited, 1
  br label %share
done:
  ret i64 %taken.share
}
""",
    # Publish a job, work, close it, wait for those who joined.
    "2 fork_join": """
define internal void @fork_join(ptr %pool, ptr %command, ptr %table, i64 %max_threads) noinline #0 {
entry:
  %kernel.c = getelementptr i8, ptr %command, i64 $command_kernel
  %kernel = load ptr, ptr %kernel.c, align 8
  %params.c = getelementptr i8, ptr %command, i64 $command_params
  %params = load ptr, ptr %params.c, align 8
  %units.c = getelementptr i8, ptr %command, i64 $command_units
  %units = load i64, ptr %units.c, align 8
  %max_chunks.c = getelementptr i8, ptr %command, i64 $command_max_chunks
  %max_chunks = load i64, ptr %max_chunks.c, align 8
  %wake.c = getelementptr i8, ptr %command, i64 $command_wake
  %wake = load i64, ptr %wake.c, align 8
  %num_threads.p = getelementptr i8, ptr %pool, i64 $pool_num_threads
  %num_threads = load i64, ptr %num_threads.p, align 8
  %threads = call i64 @llvm.smin.i64(i64 %num_threads, i64 %max_threads)
  %wanted = mul i64 %threads, $chunks_per_thread
  %chunks = call i64 @llvm.smin.i64(i64 %wanted, i64 %max_chunks)
  %units.less = sub i64 %units, 1
  %chunk.less = udiv i64 %units.less, %chunks
  %chunk = add i64 %chunk.less, 1
  %kernel.p = getelementptr i8, ptr %pool, i64 $pool_kernel
  store ptr %kernel, ptr %kernel.p, align 8
  %table.p = getelementptr i8, ptr %pool, i64 $pool_table
  store ptr %table, ptr %table.p, align 8
  %params.p = getelementptr i8, ptr %pool, i64 $pool_params
  store ptr %params, ptr %params.p, align 8
  %units.p = getelementptr i8, ptr %pool, i64 $pool_units
  store i64 %units, ptr %units.p, align 8
  %chunk.p = getelementptr i8, ptr %pool, i64 $pool_chunk
  store i64 %chunk, ptr %chunk.p, align 8
  %chunks.p = getelementptr i8, ptr %pool, i64 $pool_chunks
  store i64 %chunks, ptr %chunks.p, align 8
  %threads.p = getelementptr i8, ptr %pool, i64 $pool_threads
  store i64 %threads, ptr %threads.p, align 8
  %counters = getelementptr i8, ptr %pool, i64 $pool_counters
  br label %share
share:
  %owner = phi i64 [ 0, %entry ], [ %owner.next, %share ]
  %scaled = mul i64 %owner, %chunks
  %low = udiv i64 %scaled, %threads
  %counter = getelementptr i64, ptr %counters, i64 %owner
  store atomic i64 %low, ptr %counter monotonic, align 8
  %owner.next = add i64 %owner, 1
  %has_more = icmp slt i64 %owner.next, %threads
  br i1 %has_more, label %share, label %publish
publish:
  %word.p = getelementptr i8, ptr %pool, i64 $pool_word
  %before = load atomic i64, ptr %word.p monotonic, align 8
  %following = add i64 %before, 1
  %generation = and i64 %following, 4294967295
  %allowed = shl i64 %threads, 32
  %closed = or i64 %generation, %allowed
  %open = or i64 %closed, -9223372036854775808
  store atomic i64 %open, ptr %word.p seq_cst, align 8
  %is_wake = icmp ne i64 %wake, 0
  br i1 %is_wake, label %look, label %work
look:
  %sleepers.p = getelementptr i8, ptr %pool, i64 $pool_sleepers
  %sleepers = load atomic i64, ptr %sleepers.p seq_cst, align 8
  %has_sleepers = icmp ne i64 %sleepers, 0
  br i1 %has_sleepers, label %rouse, label %work
rouse:
  call void @wake_if_useful(ptr %pool)
  br label %work
work:
  %own = call i64 @run_chunks(ptr %pool, i64 0)
  %last = atomicrmw and ptr %word.p, i64 9223372036854775807 acq_rel, align 8
  br label %wait
wait:
  %spins = phi i64 [ 0, %work ], [ %spins.next, %again ], [ 0, %give_way ]
  %word = load atomic i64, ptr %word.p acquire, align 8
  %active = lshr i64 %word, 48
  %is_done = icmp eq i64 %active, 0
  br i1 %is_done, label %done, label %patience
patience:
  %is_long = icmp sgt i64 %spins, 1000
  br i1 %is_long, label %give_way, label %again
again:
  $pause
  %spins.next = add i64 %spins, 1
  br label %wait
give_way:
  call void @yield_processor(ptr %pool)
  br label %wait
done:
  ret void
}
""",
    # On a machine with too few processors for all that runs, a woken worker only takes the caller's place. So when the workers did nothing
    # since they were last woken, wait for 1, 3, 7, ... 255 more occasions before the next time.
    "3 system": """
define internal void @wake_if_useful(ptr %pool) noinline #0 {
entry:
  %pause.p = getelementptr i8, ptr %pool, i64 $pool_wake_pause
  %pause = load i64, ptr %pause.p, align 8
  %is_paused = icmp sgt i64 %pause, 0
  br i1 %is_paused, label %later, label %now
later:
  %pause.less = sub i64 %pause, 1
  store i64 %pause.less, ptr %pause.p, align 8
  ret void
now:
  %helped.p = getelementptr i8, ptr %pool, i64 $pool_helped
  %helped = load atomic i64, ptr %helped.p monotonic, align 8
  %before.p = getelementptr i8, ptr %pool, i64 $pool_helped_before
  %before = load i64, ptr %before.p, align 8
  store i64 %helped, ptr %before.p, align 8
  %penalty.p = getelementptr i8, ptr %pool, i64 $pool_wake_penalty
  %penalty = load i64, ptr %penalty.p, align 8
  %doubled = mul i64 %penalty, 2
  %longer = add i64 %doubled, 1
  %bounded = call i64 @llvm.smin.i64(i64 %longer, i64 255)
  %is_useless = icmp eq i64 %helped, %before
  %following = select i1 %is_useless, i64 %bounded, i64 0
  store i64 %following, ptr %penalty.p, align 8
  store i64 %following, ptr %pause.p, align 8
  call void @wake_all(ptr %pool)
  ret void
}
define internal void @wake_all(ptr %pool) noinline #0 {
entry:
  %futex.p = getelementptr i8, ptr %pool, i64 $pool_futex
  %futex = load i64, ptr %futex.p, align 8
  %has_futex = icmp ne i64 %futex, 0
  br i1 %has_futex, label %wake, label %done
wake:
  %syscall.p = getelementptr i8, ptr %pool, i64 $pool_syscall
  %syscall = load ptr, ptr %syscall.p, align 8
  %word.p = getelementptr i8, ptr %pool, i64 $pool_word
  %result = call i64 (i64, ...) %syscall(i64 %futex, ptr %word.p, i32 129, i32 2147483647, ptr null, ptr null, i32 0)
  br label %done
done:
  ret void
}
define internal void @sleep_while(ptr %pool, i32 %generation) noinline #0 {
entry:
  %futex.p = getelementptr i8, ptr %pool, i64 $pool_futex
  %futex = load i64, ptr %futex.p, align 8
  %has_futex = icmp ne i64 %futex, 0
  br i1 %has_futex, label %wait, label %nap
wait:
  %syscall.p = getelementptr i8, ptr %pool, i64 $pool_syscall
  %syscall = load ptr, ptr %syscall.p, align 8
  %word.p = getelementptr i8, ptr %pool, i64 $pool_word
  %result = call i64 (i64, ...) %syscall(i64 %futex, ptr %word.p, i32 128, i32 %generation, ptr null, ptr null, i32 0)
  br label %done
nap:
  %sleep.p = getelementptr i8, ptr %pool, i64 $pool_sleep
  %sleep = load ptr, ptr %sleep.p, align 8
  %nap.p = getelementptr i8, ptr %pool, i64 $pool_nap
  %microseconds = load i32, ptr %nap.p, align 8
  %slept = call i32 %sleep(i32 %microseconds)
  br label %done
done:
  ret void
}
define internal void @yield_processor(ptr %pool) noinline #0 {
entry:
  %yield.p = getelementptr i8, ptr %pool, i64 $pool_yield
  %yield = load ptr, ptr %yield.p, align 8
  %result = call i32 %yield()
  ret void
}
define void @pool_pause(i64 %count) #0 {
entry:
  br label %next
next:
  %i = phi i64 [ 0, %entry ], [ %i.next, %body ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %body, label %done
body:
  $pause
  %i.next = add i64 %i, 1
  br label %next
done:
  ret void
}
""",
    "4 worker": """
define void @pool_worker(ptr %pool, i64 %number) #0 {
entry:
  %word.p = getelementptr i8, ptr %pool, i64 $pool_word
  %sleepers.p = getelementptr i8, ptr %pool, i64 $pool_sleepers
  %stop.p = getelementptr i8, ptr %pool, i64 $pool_stop
  %spin.p = getelementptr i8, ptr %pool, i64 $pool_spin
  %spin = load i64, ptr %spin.p, align 8
  br label %wait
wait:
  %seen = phi i32 [ 0, %entry ], [ %seen, %spinning ], [ %seen, %awake ], [ %generation, %decline ], [ %generation, %leave ]
  %spins = phi i64 [ 0, %entry ], [ %spins.next, %spinning ], [ 0, %awake ], [ 0, %decline ], [ 0, %leave ]
  %first = load atomic i64, ptr %word.p acquire, align 8
  %first.generation = trunc i64 %first to i32
  %is_same = icmp eq i32 %first.generation, %seen
  br i1 %is_same, label %idle, label %job
idle:
  %is_patient = icmp slt i64 %spins, %spin
  br i1 %is_patient, label %spinning, label %tired
spinning:
  $pause
  %spins.next = add i64 %spins, 1
  br label %wait
tired:
  %announced = atomicrmw add ptr %sleepers.p, i64 1 seq_cst, align 8
  br label %check
check:
  %again = load atomic i64, ptr %word.p seq_cst, align 8
  %again.generation = trunc i64 %again to i32
  %is_still = icmp eq i32 %again.generation, %seen
  br i1 %is_still, label %sleep, label %awake
sleep:
  call void @sleep_while(ptr %pool, i32 %seen)
  br label %check
awake:
  %withdrawn = atomicrmw sub ptr %sleepers.p, i64 1 seq_cst, align 8
  br label %wait
job:
  %word = phi i64 [ %first, %wait ], [ %changed, %join ]
  %generation = trunc i64 %word to i32
  %stop = load atomic i64, ptr %stop.p acquire, align 8
  %is_stopped = icmp ne i64 %stop, 0
  br i1 %is_stopped, label %finish, label %look
look:
  %is_open = icmp slt i64 %word, 0
  %upper = lshr i64 %word, 32
  %threads = and i64 %upper, 65535
  %is_allowed = icmp slt i64 %number, %threads
  %may_join = and i1 %is_open, %is_allowed
  br i1 %may_join, label %join, label %decline
decline:
  br label %wait
join:
  %joined = add i64 %word, 281474976710656
  %exchange = cmpxchg ptr %word.p, i64 %word, i64 %joined acq_rel acquire, align 8
  %changed = extractvalue { i64, i1 } %exchange, 0
  %is_in = extractvalue { i64, i1 } %exchange, 1
  br i1 %is_in, label %leave, label %job
leave:
  %taken = call i64 @run_chunks(ptr %pool, i64 %number)
  %helped.p = getelementptr i8, ptr %pool, i64 $pool_helped
  %helped = atomicrmw add ptr %helped.p, i64 %taken monotonic, align 8
  %left = atomicrmw sub ptr %word.p, i64 281474976710656 acq_rel, align 8
  br label %wait
finish:
  ret void
}
define void @pool_stop(ptr %pool) #0 {
entry:
  %busy.p = getelementptr i8, ptr %pool, i64 $pool_busy
  br label %acquire
acquire:
  %exchange = cmpxchg ptr %busy.p, i64 0, i64 1 acq_rel acquire, align 8
  %is_mine = extractvalue { i64, i1 } %exchange, 1
  br i1 %is_mine, label %stop, label %later
later:
  call void @yield_processor(ptr %pool)
  br label %acquire
stop:
  %stop.p = getelementptr i8, ptr %pool, i64 $pool_stop
  store atomic i64 1, ptr %stop.p seq_cst, align 8
  %word.p = getelementptr i8, ptr %pool, i64 $pool_word
  %word = load atomic i64, ptr %word.p monotonic, align 8
  %following = add i64 %word, 1
  %generation = and i64 %following, 4294967295
  store atomic i64 %generation, ptr %word.p seq_cst, align 8
  call void @wake_all(ptr %pool)
  ret void
}
""",
    "5 run": """
define i64 @executor_run(ptr %run) #0 {
entry:
  %commands.p = getelementptr i8, ptr %run, i64 $run_commands
  %commands = load ptr, ptr %commands.p, align 8
  %count.p = getelementptr i8, ptr %run, i64 $run_count
  %count = load i64, ptr %count.p, align 8
  %table.p = getelementptr i8, ptr %run, i64 $run_table
  %table = load ptr, ptr %table.p, align 8
  %status.p = getelementptr i8, ptr %run, i64 $run_status
  %status = load ptr, ptr %status.p, align 8
  %cell.p = getelementptr i8, ptr %run, i64 $run_pool_cell
  %cell = load ptr, ptr %cell.p, align 8
  %max_threads.p = getelementptr i8, ptr %run, i64 $run_max_threads
  %max_threads = load i64, ptr %max_threads.p, align 8
  store i64 0, ptr %status, align 8
  %is_serial = icmp eq ptr %cell, null
  br i1 %is_serial, label %start, label %find
find:
  %found = load atomic ptr, ptr %cell acquire, align 8
  %has_none = icmp eq ptr %found, null
  br i1 %has_none, label %start, label %claim
claim:
  %busy.p = getelementptr i8, ptr %found, i64 $pool_busy
  %exchange = cmpxchg ptr %busy.p, i64 0, i64 1 acq_rel acquire, align 8
  %is_mine = extractvalue { i64, i1 } %exchange, 1
  %claimed = select i1 %is_mine, ptr %found, ptr null
  br label %start
start:
  %pool = phi ptr [ null, %entry ], [ null, %find ], [ %claimed, %claim ]
  %has_pool = icmp ne ptr %pool, null
  br label %next
next:
  %i = phi i64 [ 0, %start ], [ %i.next, %after ]
  %code.before = phi i64 [ 0, %start ], [ %code, %after ]
  %more = icmp slt i64 %i, %count
  %is_well = icmp eq i64 %code.before, 0
  %go = and i1 %more, %is_well
  br i1 %go, label %body, label %end
body:
  %offset = mul i64 %i, $command_size
  %command = getelementptr i8, ptr %commands, i64 %offset
  %units.p = getelementptr i8, ptr %command, i64 $command_units
  %units = load i64, ptr %units.p, align 8
  %max_chunks.p = getelementptr i8, ptr %command, i64 $command_max_chunks
  %max_chunks = load i64, ptr %max_chunks.p, align 8
  %is_splittable = icmp sgt i64 %max_chunks, 1
  %is_parallel = and i1 %is_splittable, %has_pool
  br i1 %is_parallel, label %together, label %alone
together:
  call void @fork_join(ptr %pool, ptr %command, ptr %table, i64 %max_threads)
  br label %after
alone:
  %kernel.p = getelementptr i8, ptr %command, i64 $command_kernel
  %kernel = load ptr, ptr %kernel.p, align 8
  %params.p = getelementptr i8, ptr %command, i64 $command_params
  %params = load ptr, ptr %params.p, align 8
  call void %kernel(ptr %table, ptr %params, i64 0, i64 %units, i64 0)
  br label %after
after:
  %i.next = add i64 %i, 1
  %code = load i64, ptr %status, align 8
  br label %next
end:
  br i1 %has_pool, label %release, label %done
release:
  %held.p = getelementptr i8, ptr %pool, i64 $pool_busy
  store atomic i64 0, ptr %held.p release, align 8
  br label %done
done:
  ret i64 %code.before
}
""",
    "6 call": """
define ptr @executor_call(ptr %self, ptr %argument) #0 {
entry:
  %functions = getelementptr i8, ptr %self, i64 $python_header
  %as_pointer.p = getelementptr i8, ptr %functions, i64 $python_as_pointer
  %as_pointer = load ptr, ptr %as_pointer.p, align 8
  %from_int.p = getelementptr i8, ptr %functions, i64 $python_from_int
  %from_int = load ptr, ptr %from_int.p, align 8
  %run = call ptr %as_pointer(ptr %argument)
  %release.p = getelementptr i8, ptr %run, i64 $run_release_gil
  %release = load i64, ptr %release.p, align 8
  %keeps_gil = icmp eq i64 %release, 0
  br i1 %keeps_gil, label %short, label %long
short:
  %code.short = call i64 @executor_run(ptr %run)
  br label %done
long:
  %save.p = getelementptr i8, ptr %functions, i64 $python_save_thread
  %save = load ptr, ptr %save.p, align 8
  %restore.p = getelementptr i8, ptr %functions, i64 $python_restore_thread
  %restore = load ptr, ptr %restore.p, align 8
  %state = call ptr %save()
  %code.long = call i64 @executor_run(ptr %run)
  call void %restore(ptr %state)
  br label %done
done:
  %code = phi i64 [ %code.short, %short ], [ %code.long, %long ]
  %result = call ptr %from_int(i64 %code)
  ret ptr %result
}
""",
}
