"""Names that somebody could try, for everything that takes one. ``{canary}`` stands for the path of the canary tree."""

WITHOUT_BLANKS = r"""
/ // ///etc . .. ../ ./ ./. ../.. a/b a//b /a a/ ..\..\x a\b C:\x C:/x \\host\x ... .... a. .a
../canary/secret.txt ../../canary/secret.txt ../../../canary/secret.txt ../../../../canary/secret.txt
{canary}/secret.txt //{canary}/secret.txt ./../canary/secret.txt x/../../../canary/secret.txt
..;/..;/canary %2e%2e%2fcanary%2fsecret.txt ..%2fcanary ..%00/canary ..%c0%af.. ....//canary
/proc/self/cwd/x /proc/self/environ /proc/self/fd/0 /dev/null /dev/null/x /dev/stdin /dev/full
secret.txt/.. news/.. news/../../canary ../sport ../sport/90p/90p_segment_000.ts news/1 news/2

- -- -i -rf --help --json -h --version +x @news @/dev/null ~ ~/x ~root ~nobodyhere/x $HOME ${HOME}
`touch$IFS'x'` ;id |id &id >x <x ' " * ? [a-z] {a,b} ** a* x?.ts \ a\ ^x =x #x !x a'b"c

%s %n %d %03d %999999999d %*d %% % %s%s%s%n %(x)s %c %x %5$s {} {0} {rendition} {{ %0a %1b
{rendition.__class__} {0.__class__.__mro__} {rendition!r} {rendition}_%03d {rendition}%d
{rendition}_%03d.m3u8 {rendition}/%03d.ts {rendition}_%03d_%03d.ts {rendition}/../%d
[red]x[/red] [/] [link=http://x]y[/link] :smile: ${jndi:x} <b>x</b> &amp; \x1b[31m \u202e

file:x file:///etc/passwd pipe:1 pipe: fd:0 concat:a|b subfile,,start,0,end,9,,:x data:text/plain,x
http://127.0.0.1:1/x tcp://127.0.0.1:1 crypto:x hls+file:x async:x cache:x tee:a|b #EXTM3U
#EXT-X-ENDLIST #EXT-X-MEDIA-SEQUENCE:99999999999999999999 #EXT-X-MEDIA-SEQUENCE:-1
v.m3u8 90p.m3u8 x.m3u8 .m3u8 master.m3u8 .90p.m3u8.new X.M3U8 .trailkeep-root x.ts?y=1 x.ts#y a:b
90p_segment_000.ts 90P_SEGMENT_000.TS 90p_segment_0.ts 90p_segment_000.ts. 90p_segment_-01.ts
90p_segment_+01.ts 90p_segment_1_0.ts 90p_segment_0000.ts 90p_segment_006.ts 90p_segment_%30.ts

CON con NUL nul.ts PRN AUX COM1 LPT9.ts CONIN$ news::$DATA NEWS News nEwS news. null None nan inf true
0 -0 0x10 1e9 00000000-0000-0000-0000-000000000000 undefined __proto__ lost+found CVS .git
sqlite:// sqlite:/// sqlite:///:memory: sqlite:///x?mode=memory postgresql://x
"""
BLANKS = (
    *("", " ", "   ", "a b", " a", "a ", "news ", ". .", ".. ", " ..", "-x y", "$(touch x)", "90p_segment_000.ts "),
    *("'; DROP TABLE events; --", "' OR '1'='1", "{rendition} %d", "ffconcat version 1.0"),
)
CONTROL = (
    *("\0", "a\0b", "a\0.ts", "\0\x1b", "{rendition}%d\0", "\n", "a\nb", "a\r\nb", "a\rb", "\t", "a\tb", "a\vb"),
    *("a\fb", "\a", "a\bb", "\x7f", "\x01\x02\x03", "\x9b31m", "\x85", "\u2028x", "\u2029x", "{rendition}\n%03d"),
    *("\x1b[31mred", "\x1b[2J\x1b[H", "\x1b]0;title\a", "\x1b]8;;http://x\a", "\x1bc", "\x1b[6n", "\x1bP$q\x1b\\"),
    *("ok\nError: forged", "ok\r\x1b[2KError: forged", "90p_segment_000.ts\x1b[1A", "#EXTINF:1,\nx.ts"),
)
UNICODE = (
    *("\udcff", "a\udc80b", "\udcc3(", "\udcfe\udcff.ts", "\ufffd", "\ufeffbom", "\uffff", "\U0010ffff", "\ue000"),
    *("caf\u00e9", "cafe\u0301", "\u212b", "\u00c5", "A\u030a", "\ufb01le", "zero\u200bwidth", "soft\u00adhyphen"),
    *("\u202egnp.exe", "\u202dltr", "\u2066x\u2069", "\u200erl", "\u0627\u0644", "\u05d0news", "\u0130", "\u0131"),
    *("\u00df", "\u017f", "\U0001f4fa", "\U0001f468\u200d\U0001f469", "Z\u0351\u0343\u0346" * 9, "\u3000", "\u00a0"),
    *("\u2003x", "n\u0435ws", "\uff4eews", "news\u0301", "90p_segment_\u0660\u0660\u0660.ts", ".\u200b."),
    *("\u2024\u2024/x", "\u2215x", "\uff0f..\uff0fx", "\u29f8x"),
)
LENGTHS = (
    *("x" * 63, "x" * 64, "x" * 255, "x" * 256, "x" * 5000, "\u00e9" * 200, "1" * 5000),
    *("a/" * 2100 + "x", "../" * 1500 + "x", "{rendition}" + "a" * 65 + "%d"),
)
NAMES = tuple(dict.fromkeys((*WITHOUT_BLANKS.split(), *BLANKS, *CONTROL, *UNICODE, *LENGTHS)))
