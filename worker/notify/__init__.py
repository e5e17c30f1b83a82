"""Callbacks: what happened to a recording is told to a server of the tenant's.

outbox      `ports.RecordEvents`: keeps events, delivers them in order, at least once
event_store the directory they are kept in, one small file each
target      where they go, kept beside them
post        one attempt over HTTP
signature   the headers that prove who sent it
nobody      in its place for jobs without callbacks
schedule    how long to wait between attempts
"""
