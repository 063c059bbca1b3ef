import { z } from 'zod';
import type { Stack } from '../flame.ts';

/** Profiles as stacks, in milliseconds. */

const cpuProfileSchema = z.looseObject({
  nodes: z.array(
    z.looseObject({
      id: z.number(),
      callFrame: z.looseObject({ functionName: z.string(), url: z.string() }),
      children: z.array(z.number()).optional(),
    }),
  ),
  samples: z.array(z.number()),
  /** Microseconds before each sample. */
  timeDeltas: z.array(z.number()),
});

/** Of Node's own frames that only say who waits for whom. */
const IDLE = '(idle)';

/** `src/plan/plan.ts`, `undici/lib/dispatcher/client.js`, `node:net`. */
function placeOf(url: string): string {
  const module = url.split('/node_modules/').at(-1) ?? url;
  return module === url ? url.replace(/^.*?\/(src|bench)\//, '$1/') : module;
}

/**
 * @param text as `node --cpu-prof` writes it
 * @param fromMs what came before is left out: the start
 */
export function nodeStacks(text: string, fromMs = 0): Stack[] {
  const { nodes, samples, timeDeltas } = cpuProfileSchema.parse(JSON.parse(text));
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const)));
  const framesOf = (id: number): string[] => {
    const frames: string[] = [];
    for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) {
      const { functionName = '', url = '' } = byId.get(at)?.callFrame ?? {};
      if (functionName === '(root)') continue;
      const name = functionName === '' ? '(anonymous)' : functionName;
      frames.unshift(url === '' ? name : `${name} ${placeOf(url)}`);
    }
    return frames;
  };
  const spent = new Map<number, number>();
  let atMs = 0;
  for (const [index, id] of samples.entries()) {
    const deltaMs = (timeDeltas[index] ?? 0) / 1_000;
    atMs += deltaMs;
    if (atMs >= fromMs) spent.set(id, (spent.get(id) ?? 0) + deltaMs);
  }
  return [...spent]
    .map(([id, value]) => ({ frames: framesOf(id), value }))
    .filter(({ frames }) => frames.at(-1) !== IDLE);
}

/** What `go tool pprof -traces` writes between two samples. */
const BETWEEN = /^-+\+-+$/m;

/** @param text as `go tool pprof -traces` prints it */
export function goStacks(text: string): Stack[] {
  return text.split(BETWEEN).flatMap((block) => {
    const lines = block.split('\n').filter((line) => line.trim() !== '');
    const [, amount, unit, leaf] = /^\s*([\d.]+)(ms|s|us)\s+(.+)$/.exec(lines[0] ?? '') ?? [];
    if (amount === undefined || leaf === undefined) return [];
    const frames = [leaf, ...lines.slice(1)].map((line) => line.trim().replace(/ \(inline\)$/, ''));
    const factor = { ms: 1, s: 1_000, us: 0.001 }[unit ?? 'ms'] ?? 1;
    return [{ frames: frames.reverse().map(shortGo), value: Number(amount) * factor }];
  });
}

/** `k8s.io/apiserver/pkg/admission/plugin/cel.newActivation` → `cel.newActivation` */
const shortGo = (name: string): string => name.replace(/^.*\/(?=[^/]*$)/, '');
