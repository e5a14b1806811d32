"""Names from a model become identifiers of hardware: safe, unique, and still recognisable."""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_LENGTH = 48
VERILOG = frozenset("""
always and assign automatic begin buf bufif0 bufif1 case casex casez cell cmos config deassign default defparam design
disable edge else end endcase endconfig endfunction endgenerate endmodule endprimitive endspecify endtable endtask event
for force forever fork function generate genvar highz0 highz1 if ifnone incdir include initial inout input instance
integer join large liblist library localparam macromodule medium module nand negedge nmos nor noshowcancelled not notif0
notif1 or output parameter pmos posedge primitive pull0 pull1 pulldown pullup pulsestyle_ondetect pulsestyle_onevent
rcmos real realtime reg release repeat rnmos rpmos rtran rtranif0 rtranif1 scalared showcancelled signed small specify
specparam strong0 strong1 supply0 supply1 table task time tran tranif0 tranif1 tri tri0 tri1 triand trior trireg
unsigned use uwire vectored wait wand weak0 weak1 while wire wor xnor xor
""".split())
SYSTEM_VERILOG = frozenset("""
accept_on alias always_comb always_ff always_latch assert assume before bind bins binsof bit break byte chandle checker
class clocking const constraint context continue cover covergroup coverpoint cross dist do endchecker endclass
endclocking endgroup endinterface endpackage endprogram endproperty endsequence enum eventually expect export extends
extern final first_match foreach forkjoin global iff ignore_bins illegal_bins implements implies import inside int
interconnect interface intersect join_any join_none let local logic longint matches modport nettype new nexttime null
package packed priority program property protected pure rand randc randcase randsequence ref reject_on restrict return
s_always s_eventually s_nexttime s_until s_until_with sequence shortint shortreal soft solve static string strong struct
super sync_accept_on sync_reject_on tagged this throughout timeprecision timeunit type typedef union unique unique0
until until_with untyped var virtual void wait_order weak wildcard with within
""".split())
C = frozenset("""
alignas alignof asm auto bool break case catch char char8_t char16_t char32_t class co_await co_return co_yield compl
concept const const_cast consteval constexpr constinit continue decltype default delete do double dynamic_cast else enum
explicit export extern false float for friend goto if inline int long main mutable namespace new noexcept nullptr
operator private protected public register reinterpret_cast requires restrict return short signed sizeof static
static_assert static_cast struct switch template this thread_local throw true try typedef typeid typename union unsigned
using virtual void volatile wchar_t while
""".split())
RESERVED = VERILOG | SYSTEM_VERILOG | C


def identifier(name: str, fallback: str = "layer") -> str:
    """One legal identifier for `name`: ASCII letters, digits and single underscores, no keyword of any target."""
    text = re.sub(r"[^A-Za-z0-9]+", "_", name)[:4 * MAX_LENGTH].strip("_").lower()[:MAX_LENGTH].rstrip("_")
    if not text:
        return fallback
    if text[0].isdigit():
        text = f"{fallback[0]}{text}"[:MAX_LENGTH].rstrip("_")
    return f"{text}_" if text in RESERVED else text


def identifiers(names: Iterable[str], taken: Iterable[str] = (), fallback: str = "layer") -> dict[str, str]:
    """An identifier for each name, all different from each other and from `taken`; the same names give the same."""
    used = set(taken)
    found: dict[str, str] = {}
    for name in names:
        base = text = identifier(name, fallback)
        number = 2
        while text in used:
            text = f"{base.rstrip('_')}_{number}"
            number += 1
        used.add(text)
        found[name] = text
    return found


def comment(name: str, length: int = 60) -> str:
    """A name as it may stand in a comment of generated code or in a table: printable ASCII, nothing that ends it."""
    text = re.sub(r"[^ -~]|\\|\*/|/\*|`", "?", name)
    return text if len(text) <= length else text[:length - 3] + "..."
