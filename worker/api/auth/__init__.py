"""Who calls, whether they are who they say, and how often they may.

signature      was a request signed with a secret key (pure)
authenticator  the account behind a request's signature or token
tokens         random tokens that stand for an account for a day
passwords      hashing and checking passwords, a few at a time
login          the account behind a name and a password
lockout        who guessed too often must wait (pure)
limits         how many requests an account, or a stranger's address, may make
sources        the address a request comes from, through proxies of ours
replays        a signed request that comes again gets the first answer again
middleware     all of it in front of every operation
refusals       what all of it raises
"""
