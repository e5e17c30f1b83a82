"""JSON documents to core values: the only place that knows wire spellings.

callback       bodies of callbacks about a recording
job_document   the job document around the API's mix_param, and its JSON schema
mix_param      the API's mix_param as it is written
mix_spec       mix_param to `MixSpec`: the rules that span fields
record         the API's record rule, push addresses and callback, to core values
addresses      image addresses, directories, file names, room addresses
strict_json    text to plain values, refusing what JSON readers disagree about
refusal        pydantic's findings as `InvalidField`
"""
