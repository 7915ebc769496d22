{{- define "threadline.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "threadline.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "threadline.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "threadline.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "threadline.selector" -}}
app.kubernetes.io/name: {{ include "threadline.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "threadline.labels" -}}
{{ include "threadline.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "threadline.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{- /* The pod may write nowhere but to its volumes, and runs as nobody in particular. */}}
{{- define "threadline.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "threadline.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
privileged: false
capabilities:
  drop: [ALL]
{{- end }}

{{- /* Mistakes that Kubernetes would accept. */}}
{{- define "threadline.check" -}}
{{- $secrets := list "SECRET_KEY" "JWT_SECRET" "DATABASE_URL" "DATABASE_DIRECT_URL" "REDIS_URL" "OPENROUTER_API_KEY" "GEMINI_API_KEY" "AWS_SECRET_ACCESS_KEY" "AWS_SESSION_TOKEN" "OTEL_EXPORTER_OTLP_HEADERS" "ERROR_REPORT_URL" }}
{{- range $name, $_ := .Values.settings }}
{{- if or (has $name $secrets) (regexMatch "(_API_KEY|_SECRET|_PASSWORD|_TOKEN)$" $name) }}
{{- fail (printf "settings.%s is a secret: put it into the Secret that existingSecret names" $name) }}
{{- end }}
{{- if has $name (list "REST_LISTEN" "RPC_LISTEN" "OPS_LISTEN" "CORE_URL" "DRAIN_SECONDS" "AGENTS_FILE") }}
{{- fail (printf "settings.%s is set by the chart (drainSeconds, agentsFile, mode)" $name) }}
{{- end }}
{{- end }}
{{- if .Values.sqlite.enabled }}
{{- if ne .Values.mode "serve" }}{{ fail "sqlite.enabled needs mode: serve, as one process serves an SQLite file" }}{{ end }}
{{- if or (gt (int .Values.serve.replicas) 1) .Values.serve.autoscaling.enabled }}{{ fail "sqlite.enabled needs serve.replicas: 1 and no autoscaling" }}{{ end }}
{{- else if and (not .Values.attachments.existingClaim) (not (hasPrefix "s3://" (toString (index .Values.settings "ATTACHMENTS_URL" | default "")))) }}
{{- fail "attachments need a storage that all pods share: set settings.ATTACHMENTS_URL to s3://BUCKET/PREFIX, or attachments.existingClaim to a claim with ReadWriteMany" }}
{{- end }}
{{- end }}

{{- /* Longer than the pause before the stop, the drain, and what closes after it (docs/OPERATIONS.md, Shutdown). */}}
{{- define "threadline.gracePeriod" -}}
{{ add .Values.preStopSeconds .Values.drainSeconds 10 }}
{{- end }}
