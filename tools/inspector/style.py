"""Colours and rules of the HTML report; light and dark follow the reader's system."""

from __future__ import annotations

# Families share a hue: integers blue, repetition green, floats orange, text and general compression red to purple.
COLOURS = {  # encoding: fill, ink of the text upon it
    "plain": ("#8e99ab", "#10151d"),
    "constant": ("#c3cad4", "#10151d"),
    "bitpacked": ("#86bdf0", "#0b1a2a"),
    "frame_of_reference": ("#4a93dc", "#06121f"),
    "delta": ("#2563ad", "#ffffff"),
    "varint": ("#5a5fd6", "#ffffff"),
    "run_length": ("#3bb3a4", "#04211d"),
    "dictionary": ("#43a35a", "#04200b"),
    "byte_stream_split": ("#e8b23d", "#2a1d00"),
    "alp": ("#e0793c", "#2a1000"),
    "fsst": ("#a667cf", "#ffffff"),
    "snappy": ("#e06a97", "#2b0413"),
    "zstd": ("#7d3350", "#ffffff"),
    "several": ("#a08866", "#1d1305"),
    "damaged": ("#ff3b30", "#1a0000"),
    "structure": ("#5d6675", "#ffffff"),
}

CSS = """
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#17202b;--soft:#5b6675;--line:#dfe4ea;--track:#e6eaf0;
--accent:#1f5fa8;--bad:#b3261e;--badbg:#fdeceb}
@media(prefers-color-scheme:dark){:root{--bg:#10141a;--card:#181d25;--ink:#e6eaf0;--soft:#98a3b3;--line:#2b3340;
--track:#2a323e;--accent:#7fb4f0;--bad:#ff8a80;--badbg:#3a1a18}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1200px;margin:0 auto;padding:28px 24px 56px}
h1{font-size:26px;line-height:1.2;margin:0;overflow-wrap:anywhere}
h2{font-size:17px;margin:0 0 2px}
p{margin:0}
.soft,.path{color:var(--soft);font-size:13px;overflow-wrap:anywhere}
code,.mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.93em}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(130px,1fr));gap:10px;
list-style:none;padding:0;margin:18px 0 0}
.facts li,section{background:var(--card);border:1px solid var(--line);border-radius:10px}
.facts li{padding:10px 14px}
.facts b{display:block;font-size:20px;line-height:1.25;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.facts span{color:var(--soft);font-size:12.5px}
section{padding:16px 18px 18px;margin-top:16px}
section>p.soft{margin-bottom:12px}
.bad{border-color:var(--bad);background:var(--badbg)}
.bad h2{color:var(--bad)}
.bad ul{margin:8px 0 0;padding-left:20px;overflow-wrap:anywhere}
.map{position:relative;height:440px;border-radius:6px;overflow:hidden}
.map svg,.strip svg{display:block;width:100%;height:100%}
.map rect{stroke:var(--card);stroke-width:1;stroke-opacity:.55;vector-effect:non-scaling-stroke}
.map .col{fill:none;stroke-width:3;stroke-opacity:1}
.map i{position:absolute;pointer-events:none;container-type:size;font-style:normal;overflow:hidden}
.map i span{display:block;padding:5px 8px;font-size:13px;line-height:1.25;font-weight:600;overflow:hidden;
text-overflow:ellipsis;white-space:nowrap}
.map i small{display:block;font-weight:400;font-size:12px;overflow:hidden;text-overflow:ellipsis}
@container (max-width:58px) or (max-height:24px){.map i span{display:none}}
@container (max-height:44px){.map i small{display:none}}
.strip rect{shape-rendering:crispEdges}
.strip{height:132px;border-radius:6px;overflow:hidden}
.ends{display:flex;justify-content:space-between;color:var(--soft);font-size:12.5px;margin-top:4px}
.legend{display:flex;flex-wrap:wrap;gap:6px 16px;list-style:none;padding:0;margin:12px 0 0;font-size:13px}
.legend li{display:flex;align-items:center;gap:6px}
.key{flex:none;width:12px;height:12px;border-radius:3px;display:inline-block}
.legend b{font-weight:600}
table{width:100%;border-collapse:collapse;font-size:13.5px}
th{text-align:left;color:var(--soft);font-weight:500;font-size:12.5px;padding:4px 10px 6px 0;
border-bottom:1px solid var(--line)}
td{padding:7px 10px 7px 0;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}
tr:last-child td{border-bottom:0}
.num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td .name{font-weight:600}
.one{white-space:nowrap;font-variant-numeric:tabular-nums}
.list{table-layout:fixed}
.list th:nth-child(1){width:18%}.list th:nth-child(2){width:25%}.list th:nth-child(3){width:12%}
.list th:nth-child(4){width:15%}.list th:nth-child(5){width:8%}
.bar{height:8px;border-radius:4px;background:var(--track);margin-top:4px;overflow:hidden;min-width:90px}
.bar b{display:block;height:100%;border-radius:4px;min-width:2px}
.enc{display:flex;gap:6px;align-items:baseline}
.enc .key{transform:translateY(1px)}
details{border-top:1px solid var(--line);padding:8px 0}
details:first-of-type{border-top:0}
summary{cursor:pointer;overflow-wrap:anywhere}
summary .soft{margin-left:6px}
details table{margin:6px 0 4px}
.chosen td{font-weight:600}
.chosen .key{outline:2px solid var(--ink);outline-offset:1px}
footer{margin-top:20px;color:var(--soft);font-size:12.5px}
@media(max-width:700px){
main{padding:18px 14px 40px}
h1{font-size:21px}
section{padding:14px 12px}
.facts{grid-template-columns:1fr 1fr}
.facts b{font-size:17px}
.map{height:420px}
.cards thead{display:none}
.cards tr{display:grid;grid-template-columns:1fr 1fr;gap:4px 14px;padding:10px 0;border-bottom:1px solid var(--line)}
.cards tr:last-child{border-bottom:0}
.cards td{display:block;border:0;padding:0;text-align:left;width:auto}
.cards td[data-k]::before{content:attr(data-k) " ";color:var(--soft);font-size:12px}
.cards td.wide{grid-column:1/-1}
.cards td:empty{display:none}
}
@media print{body{background:#fff}section,.facts li{break-inside:avoid}}
""" + "".join(
    f".f-{name}{{fill:{fill}}}.b-{name}{{background:{fill}}}.i-{name}{{color:{ink}}}\n"
    for name, (fill, ink) in COLOURS.items()
)
