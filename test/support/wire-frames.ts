/** The few parts of Postgres's protocol (version 3) that {@link WireProxy} looks at. */

export interface Frame {
  readonly bytes: Buffer;
  /** Without a type byte: the first message of a client, and the one after a refused request for encryption. */
  readonly startup: boolean;
}

export type Startup =
  | { readonly kind: 'encryption' }
  | { readonly kind: 'cancel' }
  | { readonly kind: 'session'; readonly parameters: ReadonlyMap<string, string> };

const CANCEL = 80_877_102;
const SSL = 80_877_103;
const GSS = 80_877_104;

/** Cuts one direction's stream into messages. Keep one for each connection; feed it every chunk in order. */
export function frames(side: 'client' | 'server'): (chunk: Buffer) => Frame[] {
  let rest: Buffer = Buffer.alloc(0);
  let startup = side === 'client';
  return (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const found: Frame[] = [];
    for (;;) {
      const header = startup ? 0 : 1;
      if (rest.length < header + 4) return found;
      const length = header + rest.readInt32BE(header);
      if (rest.length < length) return found;
      const bytes = rest.subarray(0, length);
      rest = rest.subarray(length);
      found.push({ bytes, startup });
      if (startup) startup = parseStartup(bytes).kind === 'encryption';
    }
  };
}

export function parseStartup(bytes: Buffer): Startup {
  const code = bytes.readInt32BE(4);
  if (code === SSL || code === GSS) return { kind: 'encryption' };
  if (code === CANCEL) return { kind: 'cancel' };
  const words = bytes.subarray(8).toString('utf8').split('\0');
  const parameters = new Map<string, string>();
  for (let i = 0; i + 1 < words.length && words[i] !== ''; i += 2) parameters.set(words[i] ?? '', words[i + 1] ?? '');
  return { kind: 'session', parameters };
}

const untilZero = (bytes: Buffer, from: number): string =>
  bytes.subarray(from, bytes.indexOf(0, from)).toString('utf8');

/** The SQL of a simple query or of a Parse; null for other messages. */
export function statementOf(bytes: Buffer): string | null {
  const type = String.fromCharCode(bytes[0] ?? 0);
  if (type === 'Q') return untilZero(bytes, 5);
  if (type !== 'P') return null;
  return untilZero(bytes, bytes.indexOf(0, 5) + 1);
}

/** What a CommandComplete says: `COMMIT`, `INSERT 0 1`, … */
export const parseCommandTag = (bytes: Buffer): string => untilZero(bytes, 5);

/** The first column of a DataRow, as text. */
export function firstValue(bytes: Buffer): string | null {
  const columns = bytes.readInt16BE(5);
  const length = columns === 0 ? -1 : bytes.readInt32BE(7);
  return length < 0 ? null : bytes.subarray(11, 11 + length).toString('utf8');
}

/** The values of a Bind, as text; null for other messages and for values in binary. */
export function boundValues(bytes: Buffer): (string | null)[] | null {
  if (String.fromCharCode(bytes[0] ?? 0) !== 'B') return null;
  let at = bytes.indexOf(0, bytes.indexOf(0, 5) + 1) + 1;
  const formats = bytes.readInt16BE(at);
  for (let i = 0; i < formats; i += 1) if (bytes.readInt16BE(at + 2 + 2 * i) !== 0) return null;
  at += 2 + 2 * formats;
  const values: (string | null)[] = [];
  const count = bytes.readInt16BE(at);
  at += 2;
  for (let i = 0; i < count; i += 1) {
    const length = bytes.readInt32BE(at);
    values.push(length < 0 ? null : bytes.subarray(at + 4, at + 4 + length).toString('utf8'));
    at += 4 + Math.max(0, length);
  }
  return values;
}
