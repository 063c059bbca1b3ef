import { existsSync } from 'node:fs';
import { readdir, readFile, rm, rmdir, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { run } from '../progress.ts';
import { SYSTEM_PATH } from './packages.ts';

/** What a Docker daemon and a kubelet change on the machine itself. */
const SYSCTLS = [
  ...['net/ipv4/ip_forward', 'net/ipv6/conf/all/forwarding', 'net/ipv6/conf/default/forwarding'],
  ...['kernel/panic', 'kernel/panic_on_oops', 'kernel/keys/root_maxbytes', 'kernel/keys/root_maxkeys'],
  ...['vm/overcommit_memory', 'vm/panic_on_oom'],
];
/** Files and folders that Docker makes outside its own. Folders are removed only when empty. */
const FILES = ['/etc/docker/key.json'];
const FOLDERS = [
  ...['/etc/docker', '/run/docker/plugins', '/run/docker', '/run/containerd/s', '/run/containerd', '/lib/modules'],
];
const IPTABLES = ['iptables', 'ip6tables'] as const;
/** Bridges of Docker networks, and the ends of container links on them. */
const DOCKER_LINK = /^(docker0|br-[0-9a-f]{12}|veth[0-9a-f]{7})$/;
const DOCKER_RULE = /\bDOCKER\b|\bDOCKER-|\bdocker0\b|\bbr-[0-9a-f]{12}\b/;
/** Docker's way to let a container reach its own published port. */
const HAIRPIN_RULE = /^-A POSTROUTING -s (\S+)\/(32|128) -d \1\/\2 .*-j MASQUERADE$/;

/** The machine as it was before the first daemon started. */
interface Before {
  /** After a reboot everything is as if nothing had ever been started. */
  bootId: string;
  links: string[];
  sysctls: Record<string, string>;
  paths: string[];
  /** `iptables-save` and `ip6tables-save`. */
  rules: Record<(typeof IPTABLES)[number], string>;
}

/** Writes down how the machine is, unless an earlier run that did not get to restore it has done so. */
export async function recordFootprint(file: string): Promise<void> {
  if (await readBefore(file)) return;
  const before: Before = {
    bootId: await bootId(),
    links: await links(),
    sysctls: await readSysctls(),
    paths: [...FILES, ...FOLDERS].filter((path) => existsSync(path)),
    rules: { iptables: await save('iptables'), ip6tables: await save('ip6tables') },
  };
  await writeFile(`${file}.tmp`, JSON.stringify(before, null, 2));
  await run('mv', [`${file}.tmp`, file]);
}

/** Takes back what daemons changed since {@link recordFootprint}. None of their processes may run any more. */
export async function restoreFootprint(file: string): Promise<void> {
  const before = await readBefore(file);
  if (!before) return await rm(file, { force: true });
  for (const link of await links()) {
    if (!before.links.includes(link) && DOCKER_LINK.test(link)) await removeLink(link);
  }
  for (const program of IPTABLES) await restoreRules(program, before.rules[program]);
  for (const [path, value] of Object.entries(before.sysctls)) await restoreSysctl(path, value);
  await removeNewPaths(before.paths);
  await rm(file);
}

/** Whether daemons changed this machine since its last boot and nothing has taken it back yet. */
export async function footprintIsOpen(file: string): Promise<boolean> {
  return (await readBefore(file)) !== undefined;
}

/** Links and firewall rules that look like a Docker daemon's, for a person. */
export async function networkTraces(): Promise<string[]> {
  const found = (await links()).filter((link) => DOCKER_LINK.test(link)).map((link) => `link ${link}`);
  for (const program of IPTABLES) {
    const lines = (await save(program)).split('\n').filter(isDockers);
    found.push(...lines.map((line) => `${program} ${line}`));
  }
  return found;
}

async function readBefore(file: string): Promise<Before | undefined> {
  if (!existsSync(file)) return undefined;
  const before = JSON.parse(await readFile(file, 'utf8')) as Before;
  return before.bootId === (await bootId()) ? before : undefined;
}

async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}

async function links(): Promise<string[]> {
  return await readdir('/sys/class/net');
}

async function removeLink(name: string): Promise<void> {
  // Removing one end of a container link removes the other, and the kernel ends those of a dead container by itself.
  if (existsSync(`/sys/class/net/${name}`)) await run('ip', ['link', 'delete', name], { env: { PATH: SYSTEM_PATH } });
}

async function removeNewPaths(before: readonly string[]): Promise<void> {
  for (const path of FILES) if (!before.includes(path)) await rm(path, { force: true });
  for (const path of FOLDERS) {
    const isNew = !before.includes(path) && existsSync(path);
    if (isNew && (await readdir(path)).length === 0) await rmdir(path);
  }
}

async function readSysctls(): Promise<Record<string, string>> {
  const values: Record<string, string> = {};
  for (const path of SYSCTLS) {
    if (existsSync(`/proc/sys/${path}`)) values[path] = (await readFile(`/proc/sys/${path}`, 'utf8')).trim();
  }
  return values;
}

async function restoreSysctl(path: string, value: string): Promise<void> {
  const now = (await readFile(`/proc/sys/${path}`, 'utf8')).trim();
  if (now !== value) await writeFile(`/proc/sys/${path}`, value);
}

async function save(program: (typeof IPTABLES)[number]): Promise<string> {
  return await run(`${program}-save`, [], { env: { PATH: SYSTEM_PATH } });
}

/** Deletes the chains and rules that Docker added, one by one: somebody else may have added others meanwhile. */
async function restoreRules(program: (typeof IPTABLES)[number], before: string): Promise<void> {
  const undo = undoRules(before, await save(program));
  const env = { PATH: SYSTEM_PATH };
  if (undo) await run(`${program}-restore`, ['--noflush', '--wait'], { env, input: undo });
  await removeEmptyTables(program, before, await save(program));
}

/** What `iptables-restore --noflush` must read to get from `now` to `before`, as far as Docker made the difference. */
export function undoRules(before: string, now: string): string {
  const was = parseTables(before);
  let text = '';
  for (const [table, { chains, rules }] of parseTables(now)) {
    const old = was.get(table) ?? { chains: new Map<string, string>(), rules: new Set<string>() };
    const added = [...chains.keys()].filter((chain) => !old.chains.has(chain) && DOCKER_RULE.test(chain));
    const lines = [...rules]
      .filter((rule) => !old.rules.has(rule) && isDockers(rule) && !added.includes(rule.split(' ')[1] ?? ''))
      .map((rule) => rule.replace(/^-A/, '-D'));
    lines.push(...added.map((chain) => `-F ${chain}`), ...added.map((chain) => `-X ${chain}`));
    // Docker sets the policy of FORWARD to DROP. A table that was not there had ACCEPT.
    for (const [chain, policy] of chains) {
      const oldPolicy = old.chains.get(chain) ?? 'ACCEPT';
      if (policy !== '-' && policy !== oldPolicy) lines.push(`-P ${chain} ${oldPolicy}`);
    }
    if (lines.length > 0) text += `*${table}\n${lines.join('\n')}\nCOMMIT\n`;
  }
  return text;
}

/** iptables over nftables keeps tables that have become empty; where there was none, there is none afterwards. */
async function removeEmptyTables(program: (typeof IPTABLES)[number], before: string, now: string): Promise<void> {
  const env = { PATH: SYSTEM_PATH };
  if (!(await run(program, ['--version'], { env })).includes('nf_tables')) return;
  const was = parseTables(before);
  for (const [table, { chains, rules }] of parseTables(now)) {
    const empty = rules.size === 0 && [...chains.values()].every((policy) => policy === 'ACCEPT');
    const family = program === 'iptables' ? 'ip' : 'ip6';
    if (!was.has(table) && empty) await run('nft', ['delete', 'table', family, table], { env });
  }
}

function isDockers(rule: string): boolean {
  return DOCKER_RULE.test(rule) || HAIRPIN_RULE.test(rule);
}

interface Table {
  /** Chain → policy; "-" for a chain that is not built in. */
  chains: Map<string, string>;
  rules: Set<string>;
}

function parseTables(saved: string): Map<string, Table> {
  const tables = new Map<string, Table>();
  let table: Table = { chains: new Map(), rules: new Set() };
  for (const line of saved.split('\n')) {
    if (line.startsWith('*')) {
      table = { chains: new Map(), rules: new Set() };
      tables.set(basename(line.slice(1)), table);
    } else if (line.startsWith(':')) {
      const [chain = '', policy = ''] = line.slice(1).split(' ');
      table.chains.set(chain, policy);
    } else if (line.startsWith('-A ')) {
      table.rules.add(line);
    }
  }
  return tables;
}
