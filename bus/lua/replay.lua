-- What a receiver lacks, from the journal. ARGV, further: its lineage, its number, how many messages and bytes about at most.
-- Bounded by bytes, so that an answer fits its deadline and each call makes progress.
local missing, after, room = {}, tonumber(ARGV[3]), tonumber(ARGV[5])
while lineage == ARGV[2] and n > after and #missing < tonumber(ARGV[4]) and room > 0 do
  local some = redis.call('XRANGE', KEYS[2], string.format('%.0f-0', after + 1), '+', 'COUNT', 8)
  if #some == 0 then break end
  for _, entry in ipairs(some) do
    missing[#missing + 1] = entry
    after, room = tonumber(string.match(entry[1], '%d+')), room - #entry[2][2]
  end
end
