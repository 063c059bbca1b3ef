import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, mkdir, mkdtemp, readdir, readlink, rename, rm, stat, utimes } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';
import { withLock } from './lock.ts';
import { note } from './progress.ts';

/** How many entries of one kind are kept: the current one, and the one before for whoever switches branches. */
const KEPT_PER_KIND = 2;
const UNFINISHED = '.unfinished-';
/** No build takes this long: an unfinished folder as old as this belongs to a run that was killed. */
const ABANDONED_AFTER_MS = 24 * 60 * 60 * 1000;

/** Where built things are kept between runs: `$BULKHEAD_CACHE`, else `$XDG_CACHE_HOME/bulkhead`, else `~/.cache/bulkhead`. */
export function cacheDir(): string {
  const { BULKHEAD_CACHE, XDG_CACHE_HOME } = process.env;
  return BULKHEAD_CACHE || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'bulkhead');
}

/** A string counts as itself; a path as what the file or folder holds: names, contents and executable bits. */
export type HashInput = string | { path: string };

/** A short hash (16 hex digits) of everything a built thing depends on. Where a checkout lies makes no difference. */
export async function hashOf(...inputs: HashInput[]): Promise<string> {
  const hash = createHash('sha256');
  for (const input of inputs) {
    if (typeof input === 'string') hash.update(`string ${input.length}\n${input}`);
    else await hashPath(hash, input.path, basename(input.path));
  }
  return hash.digest('hex').slice(0, 16);
}

async function hashPath(hash: Hash, path: string, name: string): Promise<void> {
  const info = await lstat(path);
  if (info.isDirectory()) {
    const children = (await readdir(path)).sort();
    hash.update(`folder ${name} ${children.length}\n`);
    for (const child of children) await hashPath(hash, join(path, child), child);
  } else if (info.isSymbolicLink()) {
    hash.update(`link ${name} ${await readlink(path)}\n`);
  } else {
    hash.update(`file ${name} ${info.mode & 0o111 ? 'x' : '-'} ${info.size}\n`);
    for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  }
}

/**
 * The folder `<cache>/<kind>/<hash>/`, made by `build` if it is not there yet.
 *
 * `build` fills an empty folder beside it, which is renamed once it is complete, so an entry is whole or absent
 * whatever is killed when. Two runs at once build once. Afterwards older entries of the same kind are removed.
 */
export async function cached(kind: string, hash: string, build: (tmpDir: string) => Promise<void>): Promise<string> {
  const parent = join(cacheDir(), kind);
  const entry = join(parent, hash);
  if (await touch(entry)) return entry;
  await mkdir(parent, { recursive: true });
  const waiting = () => note(`Another run is building ${kind}; waiting for it.`);
  return await withLock(
    `cache ${entry}`,
    async () => {
      if (await touch(entry)) return entry;
      await removeUnfinished(parent, hash);
      const tmpDir = await mkdtemp(join(parent, `${UNFINISHED}${hash}-`));
      try {
        await build(tmpDir);
        await rename(tmpDir, entry);
      } finally {
        await remove(tmpDir);
      }
      await prune(parent);
      return entry;
    },
    waiting,
  );
}

/** Whether the entry is there; marks it as used now, which is what pruning goes by. */
async function touch(entry: string): Promise<boolean> {
  try {
    const now = new Date();
    await utimes(entry, now, now);
    return true;
  } catch (error) {
    if (isCode(error, 'ENOENT')) return false;
    // A cache that is shared read-only: the entry is there, only its age cannot be noted.
    if (isCode(error, 'EROFS') || isCode(error, 'EPERM') || isCode(error, 'EACCES')) return true;
    throw error;
  }
}

async function removeUnfinished(parent: string, hash: string): Promise<void> {
  const names = (await readdir(parent)).filter((name) => name.startsWith(`${UNFINISHED}${hash}-`));
  for (const name of names) await remove(join(parent, name));
}

async function prune(parent: string): Promise<void> {
  const entries = await Promise.all(
    (await readdir(parent)).map(async (name) => {
      const path = join(parent, name);
      return { path, usedMs: (await stat(path)).mtimeMs, finished: !name.startsWith(UNFINISHED) };
    }),
  );
  const finished = entries.filter((entry) => entry.finished).sort((a, b) => b.usedMs - a.usedMs);
  const abandoned = entries.filter((entry) => !entry.finished && Date.now() - entry.usedMs > ABANDONED_AFTER_MS);
  for (const { path } of [...finished.slice(KEPT_PER_KIND), ...abandoned]) await remove(path);
}

function remove(path: string): Promise<void> {
  return rm(path, { recursive: true, force: true });
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
