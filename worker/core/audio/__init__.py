"""Sound, from undecoded packets to the mixed block.

shortlist   whose packets are decoded at all in a large room (claim)
timeline    packets of one track to blocks on the output's grid (splice)
gapless     its decoded sound without holes (packets, pcmring)
loudness    K-weighted loudness of all voices, block by block (cascade)
speakers    which voices are heard (onsets)
levelling   a slow gain per voice toward the target loudness
mixing      ramps and the sum
limiter     true peak at or below -1 dBTP
desk        all of it, some blocks per call
"""
