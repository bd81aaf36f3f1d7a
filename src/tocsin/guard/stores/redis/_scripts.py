"""What is done to a claim in Redis, in Lua: each step of the guard is one script. PURE.

Rule: whether a lease is over is told by the server's clock, whoever asks. A claim has the fencing token of its holder,
and whoever has been overtaken holds a smaller one: his answer is refused. No key has a time to live, because whatever
the server lets go by itself would take effect again.

A claim is a hash. Its `state` is "held", by a lease; "settled"; or "unknown": the lease has ended, and nobody runs it.
"""

from dataclasses import dataclass, field
from hashlib import sha1


@dataclass(frozen=True, slots=True)
class Script:
    """A script, and the name under which the server keeps it."""

    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        # The server's own name for it, and no signature of anything.
        object.__setattr__(self, "sha", sha1(self.text.encode(), usedforsecurity=False).hexdigest())


_FORGET = """
local function forget(key, due, forgotten)
    local old = redis.call('HMGET', key, 'tenant', 'operation', 'taken')
    local whose = #old[1] .. ':' .. old[1] .. ':' .. old[2]
    local last = redis.call('HGET', forgotten, whose)
    if not last or tonumber(last) < tonumber(old[3]) then redis.call('HSET', forgotten, whose, old[3]) end
    redis.call('DEL', key)
    redis.call('ZREM', due, key)
end
"""
_NOW = """
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
"""

# A script, because its key brings it to the node of a cluster that keeps the claims, whichever client asks.
INSPECT = Script("""
local found = {}
for _, wanted in ipairs({{'memory', 'maxmemory_policy:([%w-]+)'}, {'persistence', 'aof_enabled:(%d)'}}) do
    table.insert(found, string.match(redis.call('INFO', wanted[1]), wanted[2]) or '')
end
return found
""")

# The token is the server's clock, or one more than the last one: so it grows also where the server has lost its memory.
# Who asks again because the answer was lost is known by what it calls itself.
TAKE = Script(
    _FORGET
    + _NOW
    + """
local key, fence, due, forgotten, leases = unpack(KEYS)
local me, lease_us, rerun, taken, earliest = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local tenant, operation, fingerprint, answer_until, claim_until, version = unpack(ARGV, 6, 11)
local found = redis.call('HMGET', key, 'state', 'holder', 'until_us', 'token', 'claim_until')
local state = found[1]
if state == 'held' then
    if found[2] == me then return {'granted', found[4]} end
    if tonumber(found[3]) > now_us then return {'held', math.ceil((found[3] - now_us) / 1000)} end
    redis.call('ZREM', leases, key)
    if rerun == '0' then
        redis.call('HSET', key, 'state', 'unknown')
        state = 'unknown'
    else
        redis.call('DEL', key)
    end
end
if state == 'settled' and found[5] and tonumber(found[5]) <= tonumber(taken) then
    forget(key, due, forgotten)
elseif state == 'settled' or state == 'unknown' then
    local fields = {'fingerprint', 'status', 'headers', 'body', 'answer_until', 'claim_until'}
    return {'record', redis.call('HMGET', key, unpack(fields))}
end
if earliest ~= '' then
    local last = redis.call('HGET', forgotten, #tenant .. ':' .. tenant .. ':' .. operation)
    if last and tonumber(last) >= tonumber(earliest) then return {'forgotten'} end
end
local token = math.max((redis.call('GET', fence) or 0) + 1, now_us)
redis.call('SET', fence, string.format('%.0f', token))
local until_us = string.format('%.0f', now_us + lease_us)
redis.call('HSET', key, 'state', 'held', 'holder', me, 'until_us', until_us, 'token', string.format('%.0f', token),
    'tenant', tenant, 'operation', operation, 'taken', taken, 'version', version)
if fingerprint ~= '' then redis.call('HSET', key, 'fingerprint', fingerprint) end
if answer_until ~= '' then redis.call('HSET', key, 'answer_until', answer_until) end
if claim_until ~= '' then redis.call('HSET', key, 'claim_until', claim_until) end
redis.call('ZADD', leases, until_us, key)
return {'granted', string.format('%.0f', token)}
"""
)
# By the token alone: a lease that has ended, and that nobody has taken over, does no harm. Said twice is done once.
SETTLE = Script(
    """
local key, due, leases = unpack(KEYS)
local token, status, headers, body = unpack(ARGV)
local found = redis.call('HMGET', key, 'token', 'state', 'answer_until', 'claim_until')
if found[1] ~= token then return 0 end
if found[2] == 'settled' then return 1 end
redis.call('HSET', key, 'state', 'settled', 'status', status, 'headers', headers, 'body', body)
redis.call('HDEL', key, 'holder', 'until_us')
redis.call('ZREM', leases, key)
local at = found[3] or found[4]
if at then redis.call('ZADD', due, at, key) end
return 1
"""
)
ABANDON = Script(
    """
local key, leases = unpack(KEYS)
local found = redis.call('HMGET', key, 'token', 'state')
if found[1] ~= ARGV[1] or found[2] == 'settled' then return 0 end
redis.call('DEL', key)
redis.call('ZREM', leases, key)
return 1
"""
)
# By the holder's name, where the answer that had the token never came.
GIVE_BACK = Script(
    """
local key, leases = unpack(KEYS)
local found = redis.call('HMGET', key, 'holder', 'state')
if found[1] ~= ARGV[1] or found[2] ~= 'held' then return 0 end
redis.call('DEL', key)
redis.call('ZREM', leases, key)
return 1
"""
)
EXTEND = Script(
    _NOW
    + """
local key, leases = unpack(KEYS)
local found = redis.call('HMGET', key, 'token', 'state')
if found[1] ~= ARGV[1] or found[2] ~= 'held' then return 0 end
local until_us = string.format('%.0f', now_us + ARGV[2])
redis.call('HSET', key, 'until_us', until_us)
redis.call('ZADD', leases, until_us, key)
return 1
"""
)
# Looked at once more, key by key: between the reading of what is due and this, it may have been taken anew.
SWEEP = Script(
    _FORGET
    + """
local due, forgotten, now, changed = KEYS[1], KEYS[2], tonumber(ARGV[1]), 0
for index = 3, #KEYS do
    local key = KEYS[index]
    local found = redis.call('HMGET', key, 'state', 'answer_until', 'claim_until')
    if found[1] ~= 'settled' then
        redis.call('ZREM', due, key)
    elseif found[3] and tonumber(found[3]) <= now then
        forget(key, due, forgotten)
        changed = changed + 1
    elseif found[2] and tonumber(found[2]) <= now then
        redis.call('HDEL', key, 'headers', 'body')
        if found[3] then redis.call('ZADD', due, found[3], key) else redis.call('ZREM', due, key) end
        changed = changed + 1
    end
end
return changed
"""
)
# Claims of services that were killed: after a day nobody comes back to settle them. Where they may not run again, they
# stay, for a person to look at.
SWEEP_LEASES = Script(
    _NOW
    + """
local leases, changed = KEYS[1], 0
for index = 2, #KEYS do
    local key = KEYS[index]
    local found = redis.call('HMGET', key, 'state', 'until_us')
    if found[1] ~= 'held' then
        redis.call('ZREM', leases, key)
    elseif tonumber(found[2]) + ARGV[1] <= now_us then
        redis.call('DEL', key)
        redis.call('ZREM', leases, key)
        changed = changed + 1
    end
end
return changed
"""
)
