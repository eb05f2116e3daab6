-- Takes one request from every window of a caller, or from none of them.
-- KEYS: a key for each window. ARGV: strategy, a unique name for this request, then limit and period (µs) of each window.
-- Answers three numbers a window: remaining, reset (µs), wait (µs; 0 when the window admits).
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local strategy, name = ARGV[1], ARGV[2]
local answer, admitted = {}, true
local function ms(us) return math.max(1, math.ceil(us / 1000)) end

for i, key in ipairs(KEYS) do
  local limit, period = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
  local remaining, reset, wait = 0, 0, 0
  if strategy == 'moving-window' then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.0f', now - period))
    remaining = limit - redis.call('ZCARD', key)
    if remaining < 1 then
      local oldest = redis.call('ZRANGE', key, -remaining, -remaining, 'WITHSCORES')
      wait = math.max(1, tonumber(oldest[2]) + period - now)
    end
    local newest = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')
    if newest[2] then reset = tonumber(newest[2]) + period - now end
  else
    remaining = limit - (tonumber(redis.call('GET', key)) or 0)
    local left = redis.call('PTTL', key)
    if left == -1 then -- a counter without an end would never let anybody in again
      redis.call('PEXPIRE', key, ms(period))
      left = ms(period)
    end
    reset = math.max(0, left) * 1000
    if remaining < 1 then wait = math.max(1, reset) end
  end
  if wait > 0 then admitted = false end
  answer[3 * i - 2], answer[3 * i - 1], answer[3 * i] = remaining, reset, wait
end

for i, key in ipairs(KEYS) do
  local period = tonumber(ARGV[2 * i + 2])
  if admitted then
    if strategy == 'moving-window' then
      redis.call('ZADD', key, string.format('%.0f', now), name)
      redis.call('PEXPIRE', key, ms(period))
      answer[3 * i - 1] = period
    else
      local count = redis.call('INCR', key)
      if count == 1 or strategy == 'fixed-window-elastic-expiry' then
        redis.call('PEXPIRE', key, ms(period))
        answer[3 * i - 1] = period
      end
    end
    answer[3 * i - 2] = answer[3 * i - 2] - 1
  elseif strategy == 'fixed-window-elastic-expiry' and answer[3 * i] > 0 then
    redis.call('PEXPIRE', key, ms(period))
    answer[3 * i - 1], answer[3 * i] = period, period
  end
end
return answer
