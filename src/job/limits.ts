import type { EffectiveSpec } from './defaults.ts';
import type { GoalProblem, PlatformLayers, PlatformRevision } from './goal.ts';
import { quoted } from './problem.ts';
import { quantityMilli } from './quantity.ts';

/** Whose limit it is, for people: `platform.limits (revision 3)`. */
const limitName = ({ tenant, revision }: PlatformRevision): string =>
  `platform.limits ${tenant === null ? '' : `of tenant ${tenant} `}(revision ${revision})`;

/**
 * Whether an image lies under a prefix. What a prefix names ends at a `/`, `:` or `@`: `registry.example/team` is not the
 * beginning of `registry.example/team-of-others/app`.
 */
export function isImageUnder(image: string, prefix: string): boolean {
  if (!image.startsWith(prefix)) return false;
  const isEnd = (text: string) => text === '' || '/:@'.includes(text);
  return isEnd(prefix.slice(-1)) || isEnd(image.charAt(prefix.length));
}

function problemsOf(spec: EffectiveSpec, scope: PlatformRevision): GoalProblem[] {
  const { workers, images } = scope.content.limits;
  const problems: GoalProblem[] = [];
  const replicas = workers?.replicas;
  if (replicas !== undefined && spec.workers.replicas > replicas) {
    const expected = `at most ${replicas}, by ${limitName(scope)}`;
    problems.push({ path: ['spec', 'workers', 'replicas'], found: String(spec.workers.replicas), expected });
  }
  for (const name of ['cpu', 'memory'] as const) {
    // A worker's requests are at most its limits, so this bounds both.
    const [most, found] = [workers?.resources?.[name], spec.workers.limits[name]];
    if (most === undefined || quantityMilli(found) <= quantityMilli(most)) continue;
    const expected = `at most ${most}, by ${limitName(scope)}`;
    problems.push({ path: ['spec', 'workers', 'resources', 'limits', name], found, expected });
  }
  const { image } = spec.container;
  if (images !== undefined && !images.some((prefix) => isImageUnder(image, prefix))) {
    const expected = `an image under ${images.join(' or ')}, by ${limitName(scope)}`;
    problems.push({ path: ['spec', 'container', 'image'], found: quoted(image), expected });
  }
  return problems;
}

/** Where an effective goal exceeds what the platform allows: all tenants, and this one. Both must hold. */
export const limitProblems = (spec: EffectiveSpec, platform: PlatformLayers): GoalProblem[] =>
  [platform.all, platform.tenant].flatMap((scope) => (scope === null ? [] : problemsOf(spec, scope)));
