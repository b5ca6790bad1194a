{{- define "tundra.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "tundra.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "tundra.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "tundra.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "tundra.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{- define "tundra.selectorLabels" -}}
{{- if .Values.selectorLabelsOverride -}}
{{ toYaml .Values.selectorLabelsOverride }}
{{- else -}}
app.kubernetes.io/name: {{ include "tundra.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- end -}}

{{- define "tundra.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "tundra.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "tundra.image" -}}
{{- $image := .Values.image -}}
{{- printf "%s:%s" $image.repository (default .Chart.AppVersion (toString $image.tag)) -}}
{{- with $image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{- define "tundra.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (printf "%s-kubelet-plugin" (include "tundra.fullname" .)) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.create is false: serviceAccount.name must name an existing one" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Features that this version lacks: the program refuses their gates, and a pod that restarts for ever says so less clearly. */}}
{{- define "tundra.absentGates" -}}
ConsumableShares DRAListTypeAttributes DeviceMetadata DynamicMIG FabricManagerPartitioning HostManagedIMEXDaemon MPSSupport NVMLDeviceHealthCheck PassthroughSupport TimeSlicingSettings
{{- end -}}

{{- define "tundra.resourceApiVersion" -}}
{{- if .Values.resourceApiVersion -}}
{{- .Values.resourceApiVersion -}}
{{- else if .Capabilities.APIVersions.Has "resource.k8s.io/v1" -}}
resource.k8s.io/v1
{{- else if .Capabilities.APIVersions.Has "resource.k8s.io/v1beta2" -}}
resource.k8s.io/v1beta2
{{- else if .Capabilities.APIVersions.Has "resource.k8s.io/v1beta1" -}}
resource.k8s.io/v1beta1
{{- else -}}
{{- fail "this cluster serves no resource.k8s.io API: Dynamic Resource Allocation must be enabled (Kubernetes 1.32 or later)" -}}
{{- end -}}
{{- end -}}

{{/* Port of an endpoint like ":8080" or "0.0.0.0:8080". */}}
{{- define "tundra.port" -}}
{{- regexFind "[0-9]+$" . -}}
{{- end -}}

{{/*
What stands in updateStrategy. The API server adds maxUnavailable 1 to a lone maxSurge and then refuses both, so what is missing is
filled in here.
*/}}
{{- define "tundra.updateStrategy" -}}
{{- $given := default dict .Values.kubeletPlugin.updateStrategy -}}
{{- $type := default "RollingUpdate" $given.type -}}
type: {{ $type }}
{{- if eq $type "RollingUpdate" }}
{{- $update := default dict $given.rollingUpdate }}
{{- $surge := get $update "maxSurge" | toString | default "0" }}
{{- $out := get $update "maxUnavailable" | toString | default "0" }}
{{- if not $update }}
{{- $surge = "1" }}
{{- end }}
{{- $surging := not (has $surge (list "0" "0%")) }}
{{- $leaving := not (has $out (list "0" "0%")) }}
{{- if and $surging $leaving }}
{{- fail (printf "kubeletPlugin.updateStrategy.rollingUpdate: maxSurge %s and maxUnavailable %s are both above 0, which Kubernetes refuses: set one of them to 0 (maxUnavailable 0: no gap)" $surge $out) }}
{{- end }}
{{- if not (or $surging $leaving) }}
{{- fail "kubeletPlugin.updateStrategy.rollingUpdate: maxSurge and maxUnavailable are both 0, so that nothing could ever be updated: set maxSurge to 1" }}
{{- end }}
rollingUpdate:
  maxSurge: {{ $surge }}
  maxUnavailable: {{ $out }}
{{- end }}
{{- end -}}
