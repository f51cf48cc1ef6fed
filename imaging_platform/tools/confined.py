"""A Jupyter kernel that reads named places, writes in one, and reaches no network.

Run as ``python -m imaging_platform.tools.confined POLICY [kernel arguments]``: the
process binds itself before anything of a notebook runs, and what it starts is bound
too. Files by Landlock (Linux 5.13), sockets by a seccomp filter, memory by a limit of
the process. Where the kernel lacks one, a hook of the interpreter takes its place,
which a notebook could only get round on purpose.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import resource
import runpy
import struct
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

_SYS_CREATE_RULESET, _SYS_ADD_RULE, _SYS_RESTRICT_SELF = 444, 445, 446
_RULESET_VERSION = 1
_PATH_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = (1 << n for n in range(4))
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | 1 << 14
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _FILTER_MODE = 22, 38, 2
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
# libzmq, looking for network interfaces, takes this refusal and aborts on others.
_ALLOW, _DENY = 0x7FFF0000, 0x00050000 | errno.EOPNOTSUPP
_AF_UNIX = 1
_X32_CALLS = 0x40000000
_SYS_IO_URING_SETUP = 425
_MACHINES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""Audit number and number of ``socket`` (kernel headers, ``unistd.h``)."""


@dataclass(frozen=True)
class Policy:
    """
    What a confined process may do.

    Parameters
    ----------
    readable
        Files and folders that it may read, with all below them.
    writable
        Folders in which it may do anything.
    memory_bytes
        Most memory that it may allocate.
    """

    readable: tuple[str, ...]
    writable: tuple[str, ...]
    memory_bytes: int

    def as_json(self) -> str:
        """Return the policy as text for the command line's file."""
        return json.dumps(asdict(self))


def enforcement() -> dict[str, str]:
    """Return by what files and network are confined on this machine."""
    return {
        "files": "landlock" if _landlock_version() > 0 else "interpreter",
        "network": "seccomp" if platform.machine() in _MACHINES else "interpreter",
    }


def confine(policy: Policy) -> None:
    """
    Bind this process, and all that it starts, to `policy`; for good.

    It may read about itself in ``/proc`` too, and about no other process.

    Raises
    ------
    OSError
        The kernel has the means and refused: the process must not go on.
    """
    own = f"/proc/{os.getpid()}"
    policy = replace(policy, readable=(*policy.readable, own))
    limit = (policy.memory_bytes, policy.memory_bytes)
    resource.setrlimit(resource.RLIMIT_DATA, limit)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    means = enforcement()
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if means["files"] == "landlock":
        _restrict_files(policy)
    if means["network"] == "seccomp":
        _refuse_sockets(*_MACHINES[platform.machine()])
    sys.addaudithook(_make_hook(policy))


def _restrict_files(policy: Policy) -> None:
    handled = _handled(_landlock_version())
    attributes = struct.pack("Q", handled)
    rules = _call("syscall", _SYS_CREATE_RULESET, attributes, len(attributes), 0)
    try:
        for places, access in ((policy.readable, _READ), (policy.writable, handled)):
            for place in places:
                _allow(rules, place, access)
        _call("syscall", _SYS_RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)


def _allow(rules: int, place: str, access: int) -> None:
    try:
        handle = os.open(place, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        # Machines differ in what they have; what is not there needs no rule.
        return
    try:
        if not Path(place).is_dir():
            access &= _OF_FILES
        rule = struct.pack("=Qi", access & _handled(_landlock_version()), handle)
        _call("syscall", _SYS_ADD_RULE, rules, _PATH_BENEATH, rule, 0)
    finally:
        os.close(handle)


def _handled(version: int) -> int:
    """Return the kinds of access that this version of Landlock knows."""
    return (1 << (13 if version < 2 else 14 if version < 3 else 15)) - 1


def _landlock_version() -> int:
    library = ctypes.CDLL(None, use_errno=True)
    return library.syscall(_SYS_CREATE_RULESET, None, 0, _RULESET_VERSION)


def _refuse_sockets(audit_number: int, socket_number: int) -> None:
    """Refuse every socket but those between processes of this machine."""
    program = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 0, 7, audit_number),
        (_LOAD, 0, 0, 0),
        (_AT_LEAST, 5, 0, _X32_CALLS),
        (_EQUAL, 4, 0, _SYS_IO_URING_SETUP),
        (_EQUAL, 0, 2, socket_number),
        (_LOAD, 0, 0, 16),
        (_EQUAL, 0, 1, _AF_UNIX),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _DENY),
    ]
    code = b"".join(struct.pack("=HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    filter_ = struct.pack("HP", len(program), ctypes.addressof(buffer))
    _call("prctl", _PR_SET_SECCOMP, _FILTER_MODE, filter_, 0, 0)


def _call(name: str, *arguments: int | bytes) -> int:
    library = ctypes.CDLL(None, use_errno=True)
    plain = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    done = getattr(library, name)(*plain)
    if done < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return done


def _make_hook(policy: Policy) -> Callable[[str, tuple[object, ...]], None]:
    """Return a guard that says in words what is refused."""
    means = enforcement()
    roots = (*policy.readable, *policy.writable)

    def refuse(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo"):
            at = arguments[1] if event != "socket.getaddrinfo" else ()
            if not isinstance(at, str | bytes):
                raise PermissionError("A notebook has no network.")
        elif event == "open" and means["files"] == "interpreter":
            path = arguments[0]
            if isinstance(path, str | bytes) and not _is_below(path, roots):
                raise PermissionError("A notebook reads its declared inputs only.")

    return refuse


def _is_below(path: str | bytes, roots: Sequence[str]) -> bool:
    real = os.path.realpath(os.fsdecode(path))
    return any(real == root or real.startswith(f"{root}{os.sep}") for root in roots)


def _main() -> None:
    place, *rest = sys.argv[1:]
    given = json.loads(Path(place).read_text(encoding="utf-8"))
    policy = Policy(
        tuple(given["readable"]), tuple(given["writable"]), given["memory_bytes"]
    )
    confine(policy)
    sys.argv = ["ipykernel_launcher", *rest]
    runpy.run_module("ipykernel_launcher", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
