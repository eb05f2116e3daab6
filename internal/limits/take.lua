-- Takes one request from every window of a caller, or from none of them. The strategies are those of window.go.
-- KEYS: a key for each window. ARGV: strategy, a unique name for this request, then limit, period (µs) and slice (µs;
-- 0: admissions are remembered one by one) of each window.
-- Answers three numbers for each window: remaining, reset (µs), wait (µs; 0 when the window admits).
-- Times are kept as values and compared with TIME: a TTL in milliseconds would let callers come back too early. The
-- TTLs only clean up.
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local strategy, name = ARGV[1], ARGV[2]
local moving = strategy == 'moving-window'

local function text(us) return string.format('%.0f', us) end -- tostring would round to 14 digits
local function keep(key, us) redis.call('PEXPIRE', key, text(math.ceil(us / 1000) + 1)) end

local function counter(w)
  local v = redis.call('HMGET', w.key, 'used', 'expires')
  w.used, w.expires = tonumber(v[1] or 0), tonumber(v[2] or 0)
  if w.expires > now + w.period then -- the clock was set back
    w.expires = now + w.period
    redis.call('HSET', w.key, 'expires', text(w.expires))
  end
  if w.expires <= now then w.used = 0 end
  w.free = w.expires
end

local function moves(w)
  redis.call('ZREMRANGEBYSCORE', w.key, '-inf', text(now))
  local latest = text(now + w.period)
  for _, m in ipairs(redis.call('ZRANGEBYSCORE', w.key, '(' .. latest, '+inf')) do -- the clock was set back
    redis.call('ZADD', w.key, latest, m)
  end
  w.used = redis.call('ZCARD', w.key)
  w.free = tonumber(redis.call('ZRANGE', w.key, 0, 0, 'WITHSCORES')[2] or 0)
  w.expires = tonumber(redis.call('ZRANGE', w.key, -1, -1, 'WITHSCORES')[2] or 0)
end

local function slices(w)
  local all, latest = redis.call('HGETALL', w.key), now + w.period + w.slice
  w.used, w.free, w.expires = 0, math.huge, 0
  for i = 1, #all, 2 do
    local leaves, n = tonumber(all[i]), tonumber(all[i + 1])
    if leaves <= now or leaves > latest then redis.call('HDEL', w.key, all[i]) end
    if leaves > latest then -- the clock was set back
      leaves = latest
      redis.call('HINCRBY', w.key, text(latest), n)
    end
    if leaves > now then
      w.used = w.used + n
      w.free, w.expires = math.min(w.free, leaves), math.max(w.expires, leaves)
    end
  end
end

local function count(w)
  local ends = now + w.period
  if moving and w.slice > 0 then
    ends = math.floor(now / w.slice) * w.slice + w.slice + w.period
    redis.call('HINCRBY', w.key, text(ends), 1)
  elseif moving then
    redis.call('ZADD', w.key, text(ends), name)
  else
    if strategy == 'fixed-window' and w.used > 0 then ends = w.expires end
    redis.call('HSET', w.key, 'used', w.used + 1, 'expires', text(ends))
  end
  w.expires = ends
  keep(w.key, ends - now)
end

local windows, admitted = {}, true
for i, key in ipairs(KEYS) do
  local w = {key = key, limit = tonumber(ARGV[3 * i]), period = tonumber(ARGV[3 * i + 1]), slice = tonumber(ARGV[3 * i + 2]), wait = 0}
  if not moving then counter(w) elseif w.slice > 0 then slices(w) else moves(w) end
  if w.used >= w.limit then
    w.wait = w.free - now
    admitted = false
  end
  windows[i] = w
end

local answer = {}
for i, w in ipairs(windows) do
  if admitted then
    count(w)
    w.used = w.used + 1
  elseif strategy == 'fixed-window-elastic-expiry' and w.wait > 0 then
    redis.call('HSET', w.key, 'expires', text(now + w.period))
    keep(w.key, w.period)
    w.expires, w.wait = now + w.period, w.period
  end
  answer[3 * i - 2], answer[3 * i - 1], answer[3 * i] = w.limit - w.used, math.max(w.expires - now, 0), w.wait
end
return answer
