"""Arrow's compute functions and column type, as this package uses them.

pyarrow makes its compute functions at run time, and the stubs that describe them refuse most
calls on a chunked array; here they are plainly untyped, and results get their types back where
they become masks and arrays.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute

pc: Any = pyarrow.compute
ArrowColumn: TypeAlias = "pa.ChunkedArray[Any]"
ArrowArray: TypeAlias = "pa.Array[Any]"
TEXT: Any = pa.large_string()  # what pandas keeps text in; Parquet gives pa.string()
