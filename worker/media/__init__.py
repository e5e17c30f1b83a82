"""The only home of PyAV and Pillow: everything here burns CPU in C and decides nothing.

kit            what the engine gets: `PyavKit`, the maker of all objects below
decode, opus   EncodedFrame in, Picture or PCM out
compose        Scene + pictures in, Canvas out; scale, canvas, images, labels are its parts
encode, aac    Canvas or PCM in, EncodedPacket out
mux, fragment_file  EncodedPacket in, an MP4 that is valid after every byte it grows by
mp4_*               boxes, fragments and tables: an index for a file that ends, or was left
contact_sheet, facts   looking at finished files
loops          encoded test media of the test room
"""

import av.logging

# FFmpeg writes to standard error on its own account; what matters of it arrives as exceptions.
av.logging.set_level(None)
