"""Where files of a recording go: stores, the way there, and what a crash has left on it.

`file_store`, `s3_store` are the stores; `courier` and `parcel` carry growing files into one, with
`retry` and the `part_plan`; `spool` and `journal` keep what is on the way; `recovery` finishes it
after a crash, `salvage` makes do with what a bucket has when the spool is gone.
"""
