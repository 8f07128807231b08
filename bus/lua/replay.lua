-- What a receiver lacks, from the journal. ARGV, further: its lineage, its number, the mark of that, how many messages and bytes about at most.
-- Nothing where the journal does not lead on from there: its lineage is another, or the message of that number is, or is not there any more.
-- Bounded by bytes, so that an answer fits its deadline and each call makes progress.
local missing, after, room = {}, tonumber(ARGV[3]), tonumber(ARGV[6])
local leads = lineage == ARGV[2] and n > after
if leads and ARGV[4] ~= '0' then
  local last = entries(after, 1)[1]
  leads = last and (last[2] == ARGV[4] or last[2] == '0')
end
while leads and n > after and #missing < tonumber(ARGV[5]) and room > 0 do
  local some = entries(after + 1, 8)
  if #some == 0 then break end
  for _, entry in ipairs(some) do
    missing[#missing + 1] = {id_of(entry[1]), entry[2], entry[3]}
    after, room = entry[1], room - #entry[3]
  end
end
