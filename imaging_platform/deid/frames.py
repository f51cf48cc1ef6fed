"""The surroundings of data sets, on which the meaning of their elements depends."""

from __future__ import annotations

from imaging_platform.deid.encoding import Encoding
from imaging_platform.deid.layouts import Entry, Layout
from imaging_platform.deid.memory import Memory


class Frame:
    """
    The surroundings of data sets: what their elements mean depends on them alone.

    Parameters
    ----------
    data
        Bytes of the file.
    encoding
        Of the data sets.
    charset
        SpecificCharacterSet (0008,0005) in force.
    depth
        0 for the file's top level.
    is_kept
        Whether anything of them may be written.
    memory
        Of the session.
    origin
        What tells data sets from those of another origin: their series, or the tag of
        their sequence.
    """

    __slots__ = (
        "_charset",
        "_inside",
        "_memory",
        "_origin",
        "data",
        "depth",
        "encoding",
        "is_kept",
        "known",
        "layout",
    )

    known: dict[object, Entry]
    layout: Layout

    def __init__(
        self,
        data: bytes,
        encoding: Encoding,
        charset: str,
        depth: int,
        is_kept: bool,
        memory: Memory,
        origin: object,
    ) -> None:
        self.data = data
        self.encoding = encoding
        self.depth = depth
        self.is_kept = is_kept
        self._memory = memory
        self._origin = origin
        self._inside: dict[object, Frame] = {}
        self.charset = charset

    @property
    def charset(self) -> str:
        """SpecificCharacterSet (0008,0005) in force."""
        return self._charset

    @charset.setter
    def charset(self, charset: str) -> None:
        self._charset = charset
        surroundings = self.encoding.syntax, charset, self.is_kept
        self.known = self._memory.of(surroundings)
        self.layout = self._memory.layout(surroundings, self._origin)

    def inside(self, tag: int, encoding: Encoding, *, is_kept: bool) -> Frame:
        """Return the surroundings of the items of a sequence."""
        key = tag, encoding.syntax, is_kept
        frame = self._inside.get(key)
        if frame is None:
            frame = self._inside[key] = Frame(
                self.data,
                encoding,
                self.charset,
                self.depth + 1,
                is_kept,
                self._memory,
                tag,
            )
        elif frame.charset != self.charset:
            frame.charset = self.charset
        return frame
