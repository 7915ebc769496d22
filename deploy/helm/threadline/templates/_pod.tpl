{{- /* A deployment of one part: (dict "root" $ "part" "serve" "values" .Values.serve) */}}
{{- define "threadline.deployment" -}}
{{- $root := .root }}
{{- $values := $root.Values }}
{{- $name := printf "%s-%s" (include "threadline.fullname" $root) .part }}
{{- $isCore := eq .part "core" }}
{{- $hasData := ne .part "gateway" }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  labels:
    {{- include "threadline.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .part }}
spec:
  {{- if not .values.autoscaling.enabled }}
  replicas: {{ .values.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  strategy:
    {{- if $values.sqlite.enabled }}
    type: Recreate
    {{- else }}
    type: RollingUpdate
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
    {{- end }}
  selector:
    matchLabels:
      {{- include "threadline.selector" $root | nindent 6 }}
      app.kubernetes.io/component: {{ .part }}
  template:
    metadata:
      labels:
        {{- include "threadline.labels" $root | nindent 8 }}
        app.kubernetes.io/component: {{ .part }}
        {{- with $values.podLabels }}{{ toYaml . | nindent 8 }}{{ end }}
      annotations:
        checksum/settings: {{ include (print $root.Template.BasePath "/configmap.yaml") $root | sha256sum }}
        {{- with $values.podAnnotations }}{{ toYaml . | nindent 8 }}{{ end }}
    spec:
      serviceAccountName: {{ include "threadline.fullname" $root }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ include "threadline.gracePeriod" $root }}
      securityContext:
        {{- include "threadline.podSecurity" $root | nindent 8 }}
      {{- with $values.image.pullSecrets }}
      imagePullSecrets: {{ toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- include "threadline.selector" $root | nindent 14 }}
              app.kubernetes.io/component: {{ .part }}
      containers:
        - name: threadline
          image: {{ include "threadline.image" $root }}
          imagePullPolicy: {{ $values.image.pullPolicy }}
          args: [{{ .part }}]
          securityContext:
            {{- include "threadline.containerSecurity" $root | nindent 12 }}
          ports:
            {{- if not $isCore }}
            - {name: rest, containerPort: 8000}
            {{- end }}
            {{- if $hasData }}
            - {name: rpc, containerPort: 8001}
            {{- end }}
            - {name: ops, containerPort: 9000}
          envFrom:
            - configMapRef:
                name: {{ include "threadline.fullname" $root }}
            {{- if $hasData }}
            - secretRef:
                name: {{ $values.existingSecret }}
            {{- end }}
          env:
            # Metrics and health checks: never on the port that the ingress leads to.
            - {name: OPS_LISTEN, value: "0.0.0.0:9000"}
            {{- if not $isCore }}
            - {name: REST_LISTEN, value: "0.0.0.0:8000"}
            {{- end }}
            {{- if $hasData }}
            - {name: RPC_LISTEN, value: "0.0.0.0:8001"}
            {{- else }}
            - {name: CORE_URL, value: "ws://{{ include "threadline.fullname" $root }}-core:8001"}
            # Of the Secret, only what a gateway needs: it signs nothing and reads no database.
            {{- range list "GATEWAY_SECRET" "OTEL_EXPORTER_OTLP_HEADERS" "ERROR_REPORT_URL" }}
            - name: {{ . }}
              valueFrom:
                secretKeyRef: {name: {{ $values.existingSecret }}, key: {{ . }}, optional: true}
            {{- end }}
            {{- end }}
            {{- if $values.sqlite.enabled }}
            - {name: DATABASE_URL, value: "sqlite:///data/threadline.db"}
            {{- end }}
          startupProbe:
            httpGet: {path: /health, port: ops}
            periodSeconds: 2
            failureThreshold: 60
          livenessProbe:
            httpGet: {path: /health, port: ops}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 3
          readinessProbe:
            # A gateway asks its core.
            httpGet: {path: /health/db, port: ops}
            periodSeconds: 5
            timeoutSeconds: 5
            failureThreshold: 2
          lifecycle:
            preStop:
              sleep:
                seconds: {{ $values.preStopSeconds }}
          resources: {{ toYaml .values.resources | nindent 12 }}
          volumeMounts:
            - {name: tmp, mountPath: /tmp}
            {{- if $hasData }}
            - {name: data, mountPath: /data}
            {{- if $values.agentsFile }}
            - {name: agents, mountPath: /etc/threadline, readOnly: true}
            {{- end }}
            {{- end }}
      volumes:
        - name: tmp
          emptyDir: {sizeLimit: 256Mi}
        {{- if $hasData }}
        - name: data
          {{- if $values.sqlite.enabled }}
          persistentVolumeClaim: {claimName: {{ include "threadline.fullname" $root }}-data}
          {{- else if $values.attachments.existingClaim }}
          persistentVolumeClaim: {claimName: {{ $values.attachments.existingClaim }}}
          {{- else }}
          emptyDir: {sizeLimit: 256Mi}
          {{- end }}
        {{- if $values.agentsFile }}
        - name: agents
          configMap: {name: {{ include "threadline.fullname" $root }}-agents}
        {{- end }}
        {{- end }}
      {{- with $values.nodeSelector }}
      nodeSelector: {{ toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations: {{ toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.affinity }}
      affinity: {{ toYaml . | nindent 8 }}
      {{- end }}
{{- if .values.autoscaling.enabled }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ $name }}
  labels:
    {{- include "threadline.labels" $root | nindent 4 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ $name }}}
  minReplicas: {{ .values.autoscaling.minReplicas }}
  maxReplicas: {{ .values.autoscaling.maxReplicas }}
  behavior:
    # A pod that stops drains its runs: do not stop many at once.
    scaleDown:
      stabilizationWindowSeconds: 300
      policies: [{type: Pods, value: 1, periodSeconds: 60}]
  metrics:
    {{- with .values.autoscaling.targetActiveRuns }}
    - type: Pods
      pods:
        metric: {name: threadline_runs_active}
        target: {type: AverageValue, averageValue: {{ . | quote }}}
    {{- end }}
    {{- with .values.autoscaling.targetCPU }}
    - type: Resource
      resource:
        name: cpu
        target: {type: Utilization, averageUtilization: {{ . }}}
    {{- end }}
{{- end }}
{{- if and $values.podDisruptionBudget.enabled (not $values.sqlite.enabled) }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $name }}
  labels:
    {{- include "threadline.labels" $root | nindent 4 }}
spec:
  maxUnavailable: {{ $values.podDisruptionBudget.maxUnavailable }}
  selector:
    matchLabels:
      {{- include "threadline.selector" $root | nindent 6 }}
      app.kubernetes.io/component: {{ .part }}
{{- end }}
{{- end }}
