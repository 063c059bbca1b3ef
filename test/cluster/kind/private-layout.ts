import { createHash } from 'node:crypto';
import { existsSync, realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { cacheDir } from '../cache.ts';
import type { Owned } from './leftovers.ts';

/** A Unix socket's path has at most 107 bytes, and the daemons make sockets up to 36 bytes below their run folder. */
const MAX_RUN_DIR_BYTES = 70;

/** The environment variable by which the private daemon and what it starts are known. */
export const MARKER = 'BULKHEAD_DOCKER';

/** A Docker daemon of Bulkhead's own, with data, sockets and settings of its own: one for each cache folder. */
export interface PrivateLayout {
  /** Data, logs and settings. Survives the daemon: images need not be loaded again. */
  readonly dir: string;
  /** Sockets and pid files. */
  readonly runDir: string;
  readonly socket: string;
  readonly containerdSocket: string;
  readonly pidFiles: { readonly docker: string; readonly containerd: string };
  readonly logs: { readonly docker: string; readonly containerd: string };
  readonly footprint: string;
  readonly owned: Owned;
}

export function privateLayout(): PrivateLayout {
  const dir = join(realPath(resolve(cacheDir())), 'docker');
  const id = createHash('sha256').update(dir).digest('hex').slice(0, 8);
  const inCache = join(dir, 'run');
  const runDir = Buffer.byteLength(inCache) <= MAX_RUN_DIR_BYTES ? inCache : `/run/bulkhead-${id}`;
  return {
    dir,
    runDir,
    socket: join(runDir, 'docker.sock'),
    containerdSocket: join(runDir, 'containerd.sock'),
    pidFiles: { docker: join(runDir, 'dockerd.pid'), containerd: join(runDir, 'containerd.pid') },
    logs: { docker: join(dir, 'dockerd.log'), containerd: join(dir, 'containerd.log') },
    footprint: join(dir, 'machine-before.json'),
    owned: { marker: `${MARKER}=${dir}`, cgroup: `bulkhead-${id}`, folders: [dir, runDir] },
  };
}

/** Without symbolic links, since the kernel lists mounts so; the end of the path need not be there yet. */
function realPath(path: string): string {
  return existsSync(path) ? realpathSync(path) : join(realPath(dirname(path)), basename(path));
}
