"""From RTP packets to whole frames. Pure: no sockets, no tasks, time is an argument in ns.

receiver.py    one peer connection: demultiplexing, RTCP in and out   (start here)
demultiplex.py which track a packet belongs to: SSRC, MID, payload type
track.py       one track across changes of SSRC and codec
audio.py       packets out as they come       video.py   frames out in order, never across a gap
source.py      one SSRC: admission, loss, reports
sequence.py    16-bit numbers unwrapped       timeline.py   timestamps, epochs, sender reports
nack.py        what is missing, and when to ask again
keyframes.py   when to ask for a keyframe
assembler.py   packets of one video SSRC to frames
"""
