import type { Json } from '../job/canonical.ts';
import type { JobLayers, JobRevision, LayerContent, PlatformLayers, Source } from '../job/goal.ts';
import { layerOf } from '../job/goal.ts';
import { changesText, fieldChanges, patchText } from './field-changes.ts';

/** What revisions and layers are called when people read of them. Pure. */

export const SOURCES: Readonly<Record<Source, string>> = {
  cli: 'with the bulkhead command',
  api: 'through the HTTP API',
  kubectl: 'with kubectl',
  rollback: 'by a rollback',
  scaler: 'by the scaler',
  oncall: 'by someone on call',
  system: 'by Bulkhead itself',
};

/** A layer that says something; one that was never written or was cleared is as good as absent. */
export const isActive = <C extends LayerContent>(revision: JobRevision<C> | null): revision is JobRevision<C> =>
  revision !== null && revision.content.kind !== 'cleared' && revision.content.kind !== 'tombstone';

/** Which revision of each layer counts: `job@4 oncall@6`. */
export function layersText({ job, scaler, oncall }: JobLayers): string {
  const above = [scaler, oncall].filter(isActive);
  return [job, ...above].map((it) => `${layerOf(it.content)}@${it.revision}`).join(' ');
}

/** Which revision of the platform's scopes takes part: `all tenants@2, tenant ads@1`; empty where none does. */
export const platformText = ({ all, tenant }: PlatformLayers): string =>
  [all, tenant].flatMap((it) => (it === null ? [] : [`${scopeName(it.tenant)}@${it.revision}`])).join(', ');

/** What a scope of the platform is called. @param tenant null for all */
export const scopeName = (tenant: string | null): string => (tenant === null ? 'all tenants' : `tenant ${tenant}`);

const isoMinute = (date: Date): string => `${date.toISOString().slice(0, 16)}Z`;

/** `until 2026-11-23T14:00Z`, or that it stays. */
export const untilText = (until: Date | null): string =>
  until === null ? 'until it is cleared' : `until ${isoMinute(until)}`;

/** Plain data, as it is stored: what classes and `undefined` fields are not part of. */
export const asJson = (value: unknown): Json => JSON.parse(JSON.stringify(value)) as Json;

/**
 * What a revision changed, on one line.
 * @param before the revision of the same layer before it; null for the first
 */
export function changeOf(revision: JobRevision, before: JobRevision | null): string {
  const { content } = revision;
  switch (content.kind) {
    case 'tombstone':
      return 'removed';
    case 'cleared':
      return content.layer === 'oncall' && revision.source === 'system' ? 'ended' : 'cleared';
    case 'patch': {
      const set = patchText(content.patch);
      return content.layer === 'oncall' ? `${set} ${untilText(content.until)}` : set;
    }
    case 'spec': {
      if (before?.content.kind !== 'spec') return before === null ? 'created' : 'restored';
      return changesText(fieldChanges(asJson(before.content.spec), asJson(content.spec)));
    }
  }
}
