-- move sets the checkpoint KEYS[1] to a position, if it stands at another. Returns 1, or 0.
local function move(from, to)
  local position = redis.pcall('HGET', KEYS[1], 'position')
  if type(position) == 'table' then -- something else lies there: the checkpoint is lost
    redis.call('DEL', KEYS[1])
    position = false
  end
  if position == to then return 1 end -- our own retry
  if (position or '') ~= from then return 0 end
  redis.call('HSET', KEYS[1], 'position', to)
  return 1
end
