from fractions import Fraction

from media.probe import Track, read_framecrc

LISTING = """\
#extradata 0:       39, 0xa02e0958
#software: Lavf63.1.102
#tb 0: 1/25
#media_type 0: video
#codec_id 0: h264
#tb 1: 1/48000
#media_type 1: audio
0,         -2,          0,        1,     3622, 0x1a7c7fb1, S=1, MPEGTS Stream ID,        1, 0x00e000e0
1,      -1024,      -1024,     1024,      266, 0x1a778bc3
0,         -1,          2,        1,      512, 0xd4fdc74d, F=0x0
0,          0,          1,        1,      128, 0xd4fdc74d, F=0x0
1,          0,          0,     1000,      266, 0x1a778bc3
"""


def test_a_stream_lasts_from_its_earliest_packet_to_the_end_of_its_latest() -> None:
    assert list(read_framecrc(LISTING)) == [
        Track("video", Fraction(0), Fraction(3, 25)),
        Track("audio", Fraction(-1024, 48000), Fraction(1000, 48000)),
    ]


def test_packets_without_a_time_are_not_counted() -> None:
    raw = (
        "#tb 0: 1/1200000\n#media_type 0: video\n0,     -96000, -9223372036854775808,    48000,     4612, 0xb3339256\n"
    )
    assert list(read_framecrc(raw)) == []


def test_a_stream_without_packets_is_not_told() -> None:
    assert list(read_framecrc("#tb 0: 1/25\n#media_type 0: video\n")) == []
