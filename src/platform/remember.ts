/** Puts it at the end of a map that holds `most` at most: what was put there longest ago makes room. */
export function remember<Key, Value>(map: Map<Key, Value>, key: Key, value: Value, most: number) {
  map.delete(key)
  // A full map has a first key, and yields its keys in the order in which they were put there.
  if (map.size >= most) map.delete(map.keys().next().value as Key)
  map.set(key, value)
}
