import { targetOf, WireProxy } from '../../test/support/wire.ts';

const SHOWN = 60;

/** Counts the statements that an operator sends to Postgres, by their text. */
export class Statements {
  readonly #proxy: WireProxy;
  readonly #url: string;
  #counts = new Map<string, number>();

  private constructor(proxy: WireProxy, url: string) {
    this.#proxy = proxy;
    this.#url = url;
  }

  static async on(url: string): Promise<Statements> {
    let heard = (_statement: string): void => undefined;
    const proxy = await WireProxy.to(targetOf(url), { onStatement: (statement) => heard(statement) });
    const statements = new Statements(proxy, proxy.urlFor(url));
    heard = (statement) => statements.#heard(statement);
    return statements;
  }

  /** The database by the way on which is listened. */
  get url(): string {
    return this.#url;
  }

  reset(): void {
    this.#counts = new Map();
  }

  get total(): number {
    return [...this.#counts.values()].reduce((a, b) => a + b, 0);
  }

  /** The first words of each statement, and how often it was sent. */
  get byText(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#counts].sort((a, b) => b[1] - a[1]));
  }

  #heard(statement: string): void {
    const text = statement.replace(/\s+/g, ' ').trim().slice(0, SHOWN);
    this.#counts.set(text, (this.#counts.get(text) ?? 0) + 1);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#proxy[Symbol.asyncDispose]();
  }
}
