"""JSON documents to core values: the only place that knows wire spellings.

callback       bodies of callbacks about a recording
job_document   the job document around the API's mix_param, and its JSON schema
mix_param      the API's mix_param as it is written
mix_spec       mix_param to `MixSpec`: the rules that span fields
record         the API's record rule, push addresses and callback, to core values
addresses      image addresses, directories, file names, room addresses

job_request, room_request    bodies of the requests about jobs and rooms
job_mix        mix_param with everything filled in that it means; changes of it
individual     a job of one user as a mix of one
job_record     a valid request to a job on record
job_answer     a job on record to what is told of it
app, rule_resource, bucket   the same for applications, rules and buckets
paging, times, told          pages, instants, and what all answers have in common

strict_json    text to plain values, refusing what JSON readers disagree about
refusal        pydantic's findings as `InvalidField`
"""
