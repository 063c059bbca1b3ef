import { randomInt } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { z } from 'zod';
import type { Layout } from './layout.ts';

const Settings = z.object({
  /** Where the API server listens, on 127.0.0.1. */
  port: z.int().min(1).max(65_535),
  /** How many fake nodes there are. */
  nodes: z.int().min(0),
  /** Whether etcd waits for the disk. */
  fsync: z.boolean(),
});

/** What was chosen when the cluster was made, and holds until it is removed. */
export type Settings = z.infer<typeof Settings>;

/** The settings of a cluster that was begun; undefined when there is none. */
export async function loadSettings(layout: Layout): Promise<Settings | undefined> {
  try {
    return Settings.parse(JSON.parse(await readFile(layout.settings, 'utf8')));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw new Error(`${layout.settings} cannot be read; \`up\` with --fresh makes the cluster anew.`, { cause: error });
  }
}

export async function saveSettings(layout: Layout, settings: Settings): Promise<void> {
  await writeAtomically(layout.settings, `${JSON.stringify(settings, null, 2)}\n`);
}

/** Writes a file, readable by its owner alone, so that after a crash it has its old content or the new one. */
export async function writeAtomically(path: string, content: string): Promise<void> {
  await writeFile(`${path}.tmp`, content, { mode: 0o600 });
  await rename(`${path}.tmp`, path);
}

const FIRST_PORT = 20_000;
const PORTS = 10_000;
const TRIES = 100;

/**
 * A port of 127.0.0.1 on which nothing listens: the wanted one if it is free, else any below the range (from 32768)
 * out of which the kernel gives ports to outgoing connections, so that none takes it while the API server is down.
 */
export async function freePort(wanted?: number): Promise<number> {
  if (wanted !== undefined && (await isFree(wanted))) return wanted;
  for (let i = 0; i < TRIES; i++) {
    const port = FIRST_PORT + randomInt(PORTS);
    if (await isFree(port)) return port;
  }
  throw new Error('No free port on 127.0.0.1 for the API server. Is the loopback interface up?');
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
