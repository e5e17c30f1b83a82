"""A small room to try and test the worker in, and synthetic people to fill it.

server, lobby, connection, protocol, access, page/   the room: signalling and the web page
scenario, scenario_file, standard_scenario           who does what when; read from TOML, or written
person, marks, painter, lettering, voice             marked media: drawn, read back, heard
loop_media, loop_cache, camera                       encoded once and replayed, or encoded live
performance, acts, sender_clock, faults              the script unrolled instant by instant; pure
rehearsal, rehearsal_stage, agenda                   frames straight into a job, without a network
rehearsal_receiver                                   the same over a modelled network, as packets
publisher, presence, subscription, rtp_sender        the same frames over WebRTC into a real room
virtual_loop                                         time that jumps, so that rehearsals run fast
"""
