-- The rule of domain::ThrottlePolicy::attempt, where the state is. KEYS[1]: the subject. ARGV: the free failures; the window and the first
-- wait, in microseconds; now, in microseconds since some beginning, or '' for this server's clock.
-- Answers how long to wait, in microseconds, 0 if the attempt may begin; and 1 if it is the first that this wait turns away. The state is
-- kept as 'count:last_at:blocked_until', with ':1' after it once the wait has turned somebody away.
local free, window, first_wait, now = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local most = 4294967295
if not now then
    local time = redis.call('TIME')
    now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local count, last_at, blocked_until, turned_away = 0, 0, 0, false
-- A key whose state cannot be read, of whatever kind, is as good as none.
local kept = redis.pcall('GET', KEYS[1])
if type(kept) == 'string' then
    local c, l, b, t = string.match(kept, '^(%d+):(%d+):(%d+)(:?1?)$')
    if c then
        c, l, b = tonumber(c), tonumber(l), tonumber(b)
        if now < math.max(l, b) + window and l <= now + window then
            count, last_at, blocked_until, turned_away = c, l, b, t == ':1'
        end
    end
end
if blocked_until > now then
    if turned_away then return { blocked_until - now, 0 } end
    local lifetime_ms = redis.call('PTTL', KEYS[1])
    if lifetime_ms > 0 then redis.call('SET', KEYS[1], kept .. ':1', 'PX', lifetime_ms) end
    return { blocked_until - now, 1 }
end

count = math.min(count + 1, most)
local wait = 0
if count > free then
    wait = math.min(first_wait * math.min(2 ^ (count - free - 1), most), window)
end
-- The key lives ten seconds longer than its state matters: the state's own times decide, never the moment of the expiry.
local lifetime_ms = math.ceil((wait + window) / 1000) + 10000
redis.call('SET', KEYS[1], string.format('%.0f:%.0f:%.0f', count, now, now + wait), 'PX', string.format('%.0f', lifetime_ms))
return { 0, 0 }
