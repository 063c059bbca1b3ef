import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { parse } from 'yaml';
import { until } from './until.ts';

/** The real operator as a process of its own, which can be killed, stopped and continued. */

const ROOT = resolve(import.meta.dirname, '../..');
const MAIN = join(ROOT, 'src/cli/main.ts');
const KEPT_LINES = 50_000;
const EXIT_LIMIT_MS = 15_000;

/** Children end with the process that started them, in whatever way that ends. */
const WITH_PARENT: readonly string[] = process.platform === 'linux' ? ['setpriv', '--pdeathsig', 'KILL', '--'] : [];

interface Deployment {
  readonly spec: {
    readonly template: {
      readonly spec: {
        readonly containers: readonly { readonly env: readonly { readonly name: string; readonly value?: string }[] }[];
      };
    };
  };
}

/** How Node's memory is bounded where the operator is installed: what is tested and measured runs in the same way. */
function installedNodeOptions(): string {
  const deployment = parse(readFileSync(join(ROOT, 'manifests/base/deployment.yaml'), 'utf8')) as Deployment;
  const [container] = deployment.spec.template.spec.containers;
  const value = container?.env.find(({ name }) => name === 'NODE_OPTIONS')?.value;
  if (value === undefined) throw new Error('the Deployment says nothing of NODE_OPTIONS');
  return value;
}

const NODE_OPTIONS = installedNodeOptions();

export interface LogEntry {
  readonly level: string;
  readonly msg: string;
  /** When it was read here, on this process's monotonic clock. */
  readonly atMs: number;
  readonly [field: string]: unknown;
}

export interface OperatorProcessOptions {
  /** For messages of tests. */
  readonly name: string;
  readonly databaseUrl: string;
  readonly kubeconfig: string;
  readonly context?: string;
  /** Added to the environment, after everything else; NODE_OPTIONS go behind those of every operator. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface Health {
  /** Status codes; null where nobody answers. */
  readonly healthz: number | null;
  readonly readyz: number | null;
}

/** Starts a program that ends with this process. @returns its process id is that of the program itself */
export function spawnBound(
  command: readonly [string, ...string[]],
  options: { readonly env?: NodeJS.ProcessEnv; readonly cwd?: string; readonly stdout?: 'ignore' | 'pipe' } = {},
): ChildProcess {
  const [program, ...args] = [...WITH_PARENT, ...command] as [string, ...string[]];
  return spawn(program, args, {
    stdio: ['ignore', options.stdout ?? 'ignore', 'pipe'],
    cwd: options.cwd ?? ROOT,
    env: options.env ?? process.env,
  });
}

function parseLine(line: string): LogEntry {
  const atMs = performance.now();
  try {
    return { level: 'text', msg: line, ...(JSON.parse(line) as object), atMs };
  } catch {
    // Node's own words, a warning for example.
    return { level: 'text', msg: line, atMs };
  }
}

export class OperatorProcess {
  readonly name: string;
  readonly pid: number;
  readonly lines: LogEntry[] = [];
  /** Resolves with the exit code or the signal's name. */
  readonly exited: Promise<number | string>;
  #ended = false;

  private constructor(name: string, child: ChildProcess) {
    if (child.pid === undefined) throw new Error(`the operator ${name} could not be started`);
    this.name = name;
    this.pid = child.pid;
    this.exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        this.#ended = true;
        resolve(code ?? signal ?? 'unknown');
      });
    });
    if (!child.stderr) throw new Error('the operator has no stderr');
    createInterface({ input: child.stderr }).on('line', (line) => {
      this.lines.push(parseLine(line));
      if (this.lines.length > KEPT_LINES) this.lines.shift();
      if (process.env.BULKHEAD_TEST_LOG) console.error(`[${name}] ${line}`);
    });
  }

  /** Starts `bulkhead run`. It is not awaited: see {@link untilSaid}. */
  static start(options: OperatorProcessOptions): OperatorProcess {
    const args = ['run', '--health-address', '127.0.0.1:0', ...(options.context ? ['--context', options.context] : [])];
    const child = spawnBound([process.execPath, MAIN, ...args], {
      env: {
        ...process.env,
        NODE_NO_WARNINGS: '1',
        NO_COLOR: '1',
        DATABASE_URL: options.databaseUrl,
        KUBECONFIG: options.kubeconfig,
        ...options.env,
        NODE_OPTIONS: `${NODE_OPTIONS} ${options.env?.NODE_OPTIONS ?? ''}`,
      },
    });
    return new OperatorProcess(options.name, child);
  }

  get alive(): boolean {
    return !this.#ended;
  }

  /** SIGSTOP, SIGCONT, SIGKILL, SIGTERM. Nothing happens when it has ended. */
  signal(signal: NodeJS.Signals): void {
    if (this.alive) process.kill(this.pid, signal);
  }

  said(text: string | RegExp, since = 0): LogEntry | undefined {
    return this.lines.slice(since).find(({ msg }) => (typeof text === 'string' ? msg.includes(text) : text.test(msg)));
  }

  /** Waits for a line of its log. @param since index of the first line that counts. @throws Error with its last lines */
  async untilSaid(text: string | RegExp, timeoutMs: number, since = 0): Promise<LogEntry> {
    try {
      return (await until(`${this.name} says ${text}`, timeoutMs, () => this.requireAlive().said(text, since))).value;
    } catch (error) {
      const last = this.lines.slice(-10).map((line) => `  ${line.level} ${line.msg} ${String(line.error ?? '')}`);
      throw new Error([error instanceof Error ? error.message : String(error), ...last].join('\n'), { cause: error });
    }
  }

  /** @throws Error when it has ended */
  requireAlive(): this {
    if (!this.alive) throw new Error(`the operator ${this.name} has ended`);
    return this;
  }

  async health(): Promise<Health> {
    const url = String(this.said('health is served')?.url ?? '');
    const code = async (path: string): Promise<number | null> => {
      try {
        return (await fetch(`${url}${path}`, { signal: AbortSignal.timeout(3_000) })).status;
      } catch {
        // Nobody answers: that is the answer.
        return null;
      }
    };
    return url === ''
      ? { healthz: null, readyz: null }
      : { healthz: await code('/healthz'), readyz: await code('/readyz') };
  }

  /** Stops it as Kubernetes does. @returns how long it took */
  async stop(): Promise<number> {
    const startedAt = performance.now();
    this.signal('SIGCONT');
    this.signal('SIGTERM');
    const limit = setTimeout(() => this.signal('SIGKILL'), EXIT_LIMIT_MS);
    await this.exited;
    clearTimeout(limit);
    return performance.now() - startedAt;
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
