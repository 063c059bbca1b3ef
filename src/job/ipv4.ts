/** IPv4 ranges in CIDR notation, well formed. */

interface Range {
  readonly first: number;
  readonly size: number;
}

function parse(cidr: string): Range {
  const [address = '', bits = '32'] = cidr.split('/');
  const first = address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0);
  return { first, size: 2 ** (32 - Number(bits)) };
}

/** Whether the address is the first one of its range: 10.1.0.0/16 is, 10.1.2.3/16 is not. */
export function startsRange(cidr: string): boolean {
  const { first, size } = parse(cidr);
  return first % size === 0;
}

/** Whether all of `inner` lies in `outer`. */
export function rangeContains(outer: string, inner: string): boolean {
  const [a, b] = [parse(outer), parse(inner)];
  return a.first <= b.first && b.first + b.size <= a.first + a.size;
}
