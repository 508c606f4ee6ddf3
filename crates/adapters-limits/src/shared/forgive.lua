-- The rule of domain::ThrottlePolicy::forgive, where the state is. KEYS[1]: the subject.
local kept = redis.pcall('GET', KEYS[1])
if type(kept) ~= 'string' then return 0 end
local count, last_at = string.match(kept, '^(%d+):(%d+):%d+:?1?$')
local lifetime_ms = redis.call('PTTL', KEYS[1])
if not count or tonumber(count) <= 1 or lifetime_ms <= 0 then
    redis.call('DEL', KEYS[1])
else
    redis.call('SET', KEYS[1], string.format('%.0f:%s:0', tonumber(count) - 1, last_at), 'PX', lifetime_ms)
end
return 0
