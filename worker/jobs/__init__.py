"""The control plane without its HTTP face: what is on record, what should run, what does.

`values` are the records, `ports` what is asked of a database and of a launcher; `records/` and
`launchers/` fulfil them. `desk` takes orders, `reconciler` makes what runs agree with what is on
record, `mailer` sends callbacks, `channel_*` is the line between a job's worker and us.
"""
