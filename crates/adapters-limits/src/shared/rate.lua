-- The rule of domain::RateLimit::judge, where the state is. KEYS[1]: the subject. ARGV: the time one request takes up and that of the
-- whole limit, in nanoseconds; now, in microseconds since some beginning, or '' for this server's clock.
-- Answers how far the state is ahead of now and how long to wait (0: the request may go on), in nanoseconds.
--
-- Numbers here are doubles, exact up to 2^53. Nanoseconds since 1970 are more than that, so the state is kept as
-- 'microseconds:nanoseconds' and all arithmetic is on its distance from now, which is a minute at most.
local interval, burst, now = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if not now then
    local time = redis.call('TIME')
    now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end

-- A key whose state cannot be read, of whatever kind, is as good as none.
local function ahead_of_now()
    local kept = redis.pcall('GET', KEYS[1])
    if type(kept) ~= 'string' then return 0 end
    local microseconds, nanoseconds = string.match(kept, '^(%d+):(%d+)$')
    if not microseconds then return 0 end
    return (tonumber(microseconds) - now) * 1000 + tonumber(nanoseconds)
end

-- The key lives ten seconds longer than its state matters: the state's own time decides, never the moment of the expiry.
local function keep(ahead)
    local whole = math.floor(ahead / 1000)
    local state = string.format('%.0f:%d', now + whole, ahead - whole * 1000)
    redis.call('SET', KEYS[1], state, 'PX', string.format('%.0f', math.ceil(ahead / 1000000) + 10000))
end

local kept = ahead_of_now()
local ahead = math.max(0, math.min(kept, burst))
local following = ahead + interval
if following > burst then
    -- Only after the clock was set back, or the limit was changed.
    if ahead < kept then keep(ahead) end
    return { ahead, following - burst }
end
keep(following)
return { following, 0 }
