import { randomBytes } from 'node:crypto';

/** Secrets that are looked for in everything that Bulkhead says: each is new, so a hit is a leak. */
export class Canaries {
  readonly #values = new Map<string, string>();

  /** A secret that does not occur anywhere else. @param what a person will read about it */
  make(what: string): string {
    const value = `canary${randomBytes(12).toString('hex')}`;
    this.watch(what, value);
    return value;
  }

  /** One that was made elsewhere, such as a token. */
  watch(what: string, value: string): void {
    if (value.length < 16) throw new Error(`the canary ${what} is too short to be told from other text`);
    this.#values.set(value, what);
  }

  get count(): number {
    return this.#values.size;
  }

  /** Which of them are in a text, as they are or as programs usually write them. */
  in(text: string): string[] {
    const found = [...this.#values].filter(([value]) => writings(value).some((writing) => text.includes(writing)));
    return found.map(([, what]) => what);
  }
}

/** In base64 a text looks one of three ways in its middle, by where it begins. */
function base64Middles(value: string): string[] {
  return [0, 1, 2].map((shift) => {
    const encoded = Buffer.from(`${'x'.repeat(shift)}${value}`).toString('base64');
    return encoded.slice(4, -4);
  });
}

const writings = (value: string): string[] => [
  value,
  encodeURIComponent(value),
  Buffer.from(value).toString('hex'),
  ...base64Middles(value),
];
